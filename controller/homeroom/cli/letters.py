"""`homeroom letters`: personal codes for linking chat accounts, printed or mailed.

The store keeps digests only, so a code stands in its letter and nowhere else; a lost letter is replaced by another one.
Neighbours: `homeroom.chats.letters` (the words), `homeroom.web.chats` (where a code is entered), `records` (the store).
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import polars as pl
import segno
import typer

from homeroom.api import Language
from homeroom.chats.letters import Letter, page
from homeroom.chats.letters import mail as mail_of
from homeroom.chats.linking import CodeState, Place
from homeroom.cli import mail, options, stores, terminal
from homeroom.cli.handout import private
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError
from homeroom.mail import AddressRefusedError, Mailer, is_address
from homeroom.roster.tables import FAMILY, Roster, SchoolRole
from homeroom.seats import keys
from homeroom.seats.letters import CODES
from homeroom.sources import load
from homeroom.store import Store

_MOST: Final = 365


def command(
    *,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="ID", help="People of this class. May be repeated.")
    ] = None,
    school: Annotated[str | None, typer.Option(metavar="ID", help="People of this school.")] = None,
    pages: Annotated[
        str,
        typer.Option(
            "--pages-url",
            envvar="HOMEROOM_PUBLIC_URL",
            metavar="URL",
            help="How browsers reach the pages of `homeroom web`, such as https://licences.example.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file of letters to print; `-`: stdout.", dir_okay=False)
    ] = None,
    by_mail: Annotated[
        bool, typer.Option("--mail", help="Mail each code to the person's address in the records instead.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="With --mail: also to who was mailed a code that is still good.")
    ] = False,
    valid: Annotated[int, typer.Option(metavar="DAYS", help="So long codes are good.", min=1, max=_MOST)] = 30,
    language: Annotated[Language, typer.Option(help="Of the letters.")] = Language.ENGLISH,
    district: Annotated[str | None, typer.Option(help="Name of the District, where there are several.")] = None,
    platform: Annotated[str | None, typer.Option(help="Name of the ChatPlatform, where there are several.")] = None,
    namespace: options.Namespace = None,
    smtp_url_file: mail.SmtpUrlFile = None,
    mail_from: mail.MailFrom = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Print, or mail, letters with a personal code to whoever has no chat account linked yet.

    A letter for each student and teacher of a class or school, and for the students' families. A code is good once, and
    a new one takes the place of the one before. Runs where the operator's store is.

    homeroom letters --class c-5a -o letters.html
    """
    if (classes is None) == (school is None):
        raise typer.BadParameter("name classes or a school, and not both", param_hint="--class")
    if (output is None) != by_mail:
        raise typer.BadParameter("is needed, unless --mail is given", param_hint="--output")
    post = mail.post(smtp_url_file, mail_from, None)
    if by_mail and post is None:
        raise typer.BadParameter("there is no mail server to send by", param_hint="--smtp-url-file")
    url = f"{pages.rstrip('/')}/chats"
    opened = stores.open_store(store, data, write=True)
    try:
        place, title = place_of(opened, namespace=namespace, district=district, platform=platform)
        now = datetime.now(UTC)
        roster = _roster(opened, place)
        people = _people(roster, classes=classes, school=school, now=now)
        linked = people.filter(pl.col("id").is_in(opened.links.linked(place)["person"].implode()))
        people = people.join(linked, on="id", how="anti", maintain_order="left")
        until = now + timedelta(days=valid)
        if output is not None:
            _print(opened, place, people, output, title=title, url=url, language=language, until=until, now=now)
            if str(output) != "-":
                terminal.say(f"{people.height} letters in {output}; {linked.height} people are linked already")
            return
        if not again:
            codes = opened.links.codes(place, now=now).filter(state=CodeState.MAILED.value)
            people = people.join(codes, left_on="id", right_on="person", how="anti", maintain_order="left")
        assert post is not None
        reached = people.filter(pl.col("email").map_elements(is_address, return_dtype=pl.Boolean, skip_nulls=True))
        terminal.say(
            f"{people.height - reached.height} people have no address in the records: print their letters"
            if reached.height < people.height
            else f"{reached.height} mails to send"
        )
        sent, refused = asyncio.run(
            _mail(opened, place, reached, post.mailer, title=title, url=url, language=language, until=until, now=now)
        )
        terminal.say(f"{sent} codes were mailed, {refused} addresses refused")
    finally:
        opened.close()


def place_of(store: Store, *, namespace: str | None, district: str | None, platform: str | None) -> tuple[Place, str]:
    """Where people link accounts, and what it is called; the only place, or the one that is named."""
    asked = {"namespace": namespace, "district": district, "platform": platform}
    places = store.links.places().filter(**{name: value for name, value in asked.items() if value is not None})
    if places.is_empty():
        raise DependencyNotReadyError(
            "nobody can link accounts here yet: there must be a ChatPolicy for the district, and the operator must run"
        )
    if places.height > 1:
        there = ", ".join("/".join(row) for row in places.select(Place._fields).iter_rows())
        raise InvalidSpecError(f"there are several: {there}; choose with --namespace, --platform and --district")
    row = places.row(0, named=True)
    return Place(*(row[name] for name in Place._fields)), row["title"]


def _roster(store: Store, place: Place) -> Roster:
    accepted = store.accepted(namespace=place.namespace, district=place.district)
    if accepted is None:
        raise DependencyNotReadyError(f"District '{place.district}' has no accepted snapshot yet: see its status")
    return load(store.snapshots(namespace=place.namespace, district=place.district), accepted.serving).roster


def _people(roster: Roster, *, classes: list[str] | None, school: str | None, now: datetime) -> pl.DataFrame:
    """[id, name, email, group], each person once: by class, those in it first and then their families.

    Of a school also who works there and has no class. Raises InvalidSpecError for what the records do not have.
    """
    orgs = roster.orgs.with_row_index("org").filter(pl.col("id").is_in([school] if school is not None else []))
    rows = roster.classes.with_row_index("class")
    chosen = rows.filter(pl.col("id").is_in(classes) if classes is not None else pl.col("school").is_in(orgs["org"]))
    unknown = sorted(set(classes) - set(chosen["id"])) if classes is not None else [school] * orgs.is_empty()
    if unknown:
        raise InvalidSpecError(f"the records have no '{unknown[0]}': give its source id")
    begun = pl.col("begin").is_null() | (pl.col("begin") <= now.date())
    running = begun & (pl.col("end").is_null() | (pl.col("end") > now.date()))
    groups = chosen.select("class", group=pl.coalesce("title", "id"))
    inside = roster.enrollments.filter(running).join(groups, on="class").select("user", "role", "group")
    agents = pl.concat([roster.agents, roster.agents.select(user="agent", agent="user")])  # either may name the other
    adults = roster.roles.filter(pl.col("role").is_in(FAMILY))["user"].unique()
    families = inside.filter(pl.col("role") == "student").join(agents, on="user")
    families = families.filter(pl.col("agent").is_in(adults.implode()))
    works = roster.roles.filter(running, ~pl.col("role").is_in([SchoolRole.STUDENT, *FAMILY]))
    staff = works.join(orgs.select("org", group=pl.coalesce("name", "id")), on="org")
    listed = pl.concat(
        people.select("user", "group", order=pl.lit(order))
        for order, people in enumerate((inside, families.drop("user").rename({"agent": "user"}), staff))
    )
    users = roster.users.with_row_index("user").filter(pl.col("enabled").fill_null(value=True))
    name = pl.concat_str("given", "family", separator=" ", ignore_nulls=True)
    return (
        listed.join(users, on="user")
        .sort(pl.col("order") == 2, "group", "order", "family", "given", "id")
        .unique("id", keep="first", maintain_order=True)
        .select("id", name.alias("name"), "email", "group")
    )


def _new_codes(people: pl.DataFrame) -> dict[str, str]:
    """A code for each person (source id)."""
    return {person: keys.new_key(secrets.randbelow) for person in people["id"]}


def _print(
    store: Store,
    place: Place,
    people: pl.DataFrame,
    output: Path,
    *,
    title: str,
    url: str,
    language: Language,
    until: datetime,
    now: datetime,
) -> None:
    """Write the file, then make the codes good: whichever fails, no letter lies about."""
    made = _new_codes(people)
    letters = [
        Letter(
            name=row["name"] or row["id"],
            group=row["group"],
            code=keys.shown(made[row["id"]]),
            url=url,
            qr=_qr(f"{url}?code={made[row['id']]}&lang={CODES[language]}"),
        )
        for row in people.iter_rows(named=True)
    ]
    text = page(language, letters, code=CODES[language], title=title, until=until.date())
    if str(output) == "-":
        sys.stdout.write(text)
    else:
        private(output).write_text(text, encoding="utf-8")
    digests = {person: keys.digest(code) for person, code in made.items()}
    store.links.issue(digests, place=place, state=CodeState.PRINTED, expires_at=until, now=now)


async def _mail(
    store: Store,
    place: Place,
    people: pl.DataFrame,
    mailer: Mailer,
    *,
    title: str,
    url: str,
    language: Language,
    until: datetime,
    now: datetime,
) -> tuple[int, int]:
    """How many codes were mailed, and refused. Who comes after a failure of the server is mailed by the next try."""
    sent = refused = 0
    for person, address in people.select("id", "email").iter_rows():
        code = keys.new_key(secrets.randbelow)
        digest = keys.digest(code)
        subject, text = mail_of(
            language, title=title, code=keys.shown(code), url=f"{url}?lang={CODES[language]}", until=until.date()
        )
        store.links.issue({person: digest}, place=place, state=CodeState.WAITING, expires_at=until, now=now)
        try:
            await mailer.send(address, subject, text, language=CODES[language])
        except AddressRefusedError:
            store.links.note_letter(digest, CodeState.REFUSED)
            refused += 1
        except HomeroomError:
            terminal.warning(f"{sent} codes were mailed before the mail server failed; the same command goes on there")
            raise
        else:
            store.links.note_letter(digest, CodeState.MAILED)
            sent += 1
    return sent, refused


def _qr(url: str) -> str:
    """A QR code as an SVG element."""
    return segno.make_qr(url, error="m").svg_inline(border=4, omitsize=True)

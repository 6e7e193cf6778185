"""`homeroom letters`: personal codes for linking chat accounts, printed or mailed.

The store keeps digests only, so a code stands in its letter and nowhere else; a lost letter is replaced by another one.
Neighbours: `homeroom.chats.letters` (the words), `homeroom.web.chats` (where a code is entered), `records` (the store).
"""

from __future__ import annotations

import asyncio
import secrets
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
from homeroom.cli import mail, options, records, terminal
from homeroom.cli.handout import private
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError
from homeroom.mail import AddressRefusedError, Mailer, is_address
from homeroom.roster.tables import FAMILY, Roster
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
        Path | None, typer.Option("--output", "-o", help="The file of letters to print.", dir_okay=False)
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
    opened = records.open_store(store, data, write=True)
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

    Raises InvalidSpecError for a class or school that the records do not have.
    """
    rows = roster.classes.with_row_index("class")
    if classes is not None:
        chosen = rows.filter(pl.col("id").is_in(classes))
        unknown = sorted(set(classes) - set(chosen["id"]))
    else:
        org = roster.orgs["id"].index_of(school)
        chosen = rows.filter(pl.col("school") == org) if org is not None else rows.clear()
        unknown = [] if org is not None else [str(school)]
    if unknown:
        raise InvalidSpecError(f"the records have no '{unknown[0]}': give its source id")
    chosen = chosen.select(pl.col("class").cast(pl.UInt32), group=pl.coalesce("title", "id"))
    today = now.date()
    running = (pl.col("begin").is_null() | (pl.col("begin") <= today)) & (
        pl.col("end").is_null() | (pl.col("end") > today)
    )
    inside = roster.enrollments.filter(running).join(chosen, on="class").select("user", "role", "group")
    students = inside.filter(pl.col("role") == "student")
    agents = roster.agents
    both = pl.concat([agents, agents.select(user="agent", agent="user")])
    adults = roster.roles.filter(pl.col("role").is_in(FAMILY))["user"].unique()
    families = students.join(both, on="user").filter(pl.col("agent").is_in(adults.implode()))
    listed = pl.concat(
        [
            inside.select("user", "group", family=pl.lit(value=False)),
            families.select("group", user="agent", family=pl.lit(value=True)).select("user", "group", "family"),
        ]
    )
    users = roster.users.with_row_index("user").filter(pl.col("enabled").fill_null(value=True))
    name = pl.concat_str("given", "family_name", separator=" ", ignore_nulls=True)
    return (
        listed.join(users.rename({"family": "family_name"}).cast({"user": pl.UInt32}), on="user")
        .sort("group", "family", "family_name", "given", "id")
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
            qr=_qr(f"{url}?code={made[row['id']]}"),
        )
        for row in people.iter_rows(named=True)
    ]
    text = page(language, letters, code=CODES[language], title=title, until=until.date())
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
        subject, text = mail_of(language, title=title, code=keys.shown(code), url=url, until=until.date())
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

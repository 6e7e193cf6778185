"""The chapter of seats: bought by a municipality, shared out to schools, taken by students, revoked.

A pool is shared out to licences; one too many waits; who shrinks below use keeps what is in use. A key goes to a
school's office by mail; a teacher connects with it at the web pages; her students appear in Kolibri. When the licence
is revoked they are gone. Neighbours: `story` (tells the rest), `web` (pages and mails), `browser` (the teacher's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from homeroom.api import API_VERSION
from homeroom.demo.browser import Browser
from homeroom.demo.stage import Records, Stage, message, wait_for
from homeroom.demo.telling import proves, say, show, step
from homeroom.demo.web import Web, key_in, link_in

POOL: Final = "kolibri-seats"
KEYED: Final = "sable-creek"
"""The licence that teachers connect to by a key."""
SCHOOL: Final = "s-002"
"""Its school in the records."""
OFFICE: Final = "office@sable-creek.example"
TOO_MANY: Final = "rowan-annexe"
SHRINKS: Final = "sparrow-park"


def tell_of_seats(stage: Stage, records: Records, console: Console, *, web: Web, browser: Browser) -> None:
    """Tell it on a stage where the example district is in sync."""
    _tell_of_sharing_out(stage, console)
    before = _learners(stage, records)
    _tell_of_seating(stage, records, console, before=before)
    _tell_of_a_teacher(stage, records, console, web=web, browser=browser)
    proves("students have the accounts that they had", _learners(stage, records) <= before)
    _tell_of_revoking(stage, records, console, web=web, browser=browser)


def _tell_of_sharing_out(stage: Stage, console: Console) -> None:
    with step(
        console,
        "A municipality has bought seats: kubectl apply -k examples/lakeside-municipal",
        shows="a pool of 1,000, and four licences of 250",
    ):
        stage.declare_seats(contacts=OFFICE)
        for name in ("rowan-hill", SHRINKS, KEYED, "sable-creek-evening"):
            stage.wait_said("schoollicense", name, "SeatsGranted", "Granted")
        proves("students of a licence without a key are seated", _seats(stage, SHRINKS)[1] > 0)
        proves("nobody is seated before a teacher has connected", _seats(stage, KEYED) == (250, 0))

    with step(console, "One licence too many", shows="it waits, and says what frees it"):
        spec = {
            "poolRef": {"name": POOL},
            "schoolUnit": "10983647",
            "seats": 100,
            "access": "Key",
            "districtRef": {"name": "lakeside"},
            "school": "s-001",
        }
        metadata = {"name": TOO_MANY, "namespace": stage.namespace}
        stage.apply({"apiVersion": API_VERSION, "kind": "SchoolLicense", "metadata": metadata, "spec": spec})
        waits = stage.wait_said("schoollicense", TOO_MANY, "SeatsGranted", "WaitingForSeats")
        proves("it says what frees it", "until 100 more fall free" in message(waits))
    show(console, stage.kubectl("get", "schoollicenses", "-n", stage.namespace))
    say(console, f"  {TOO_MANY}: {message(waits)}")

    with step(console, f"{SHRINKS} shrinks to 20 seats", shows="fewer than are in use: nobody loses one"):
        used = _seats(stage, SHRINKS)[1]
        stage.patch("schoollicense", SHRINKS, {"seats": 20})
        kept = stage.wait_said("schoollicense", SHRINKS, "SeatsGranted", "BelowUsage")
        proves("seats in use are kept", _seats(stage, SHRINKS) == (used, used))
        stage.wait_said("schoollicense", TOO_MANY, "SeatsGranted", "Granted")
    say(console, f"  {SHRINKS}: {message(kept)}")
    say(console, f"  {TOO_MANY}: {message(stage.get('schoollicense', TOO_MANY))}")


def _tell_of_seating(stage: Stage, records: Records, console: Console, *, before: set[str]) -> None:
    with step(console, "Kolibri is for those who hold a seat: spec.seating", shows="an edit that takes away is held"):
        stage.patch("learningapp", "kolibri", {"seating": {"poolRef": {"name": POOL}}})
        held = stage.wait_held("learningapp", "kolibri")
        proves("nobody loses anything before somebody has looked", _learners(stage, records) == before)
        stage.approve(held, of="kolibri")
        stage.wait_ready("learningapp", "kolibri")
        wait_for("only who holds a seat is in Kolibri", lambda: not _learners(stage, records))
        wait_for("only who is connected has a class in Kolibri", lambda: not _coaches(stage, records))
    say(console, f"  {message(stage.get('learningapp', 'kolibri'), 'SeatsKnown')}")


def _tell_of_a_teacher(stage: Stage, records: Records, console: Console, *, web: Web, browser: Browser) -> None:
    with step(console, "The licence's key is in the office's mailbox", shows="mailed once, and never in any status"):
        letter = web.mailbox.next(OFFICE, after=0)
        key = key_in(letter)
        stage.wait_said("schoollicense", KEYED, "KeyDelivered", "KeySent")
        proves("no status has the key", key not in str(stage.get("schoollicense", KEYED)))
    say(console, f"  {letter['Subject']}: {key}")

    account = teacher(records)
    with step(console, "A teacher connects on the page", shows=f"in {browser.name}"):
        web.start(store=stage.database, data=stage.directory / "data")
        _enter(browser, web, key, account)
        browser.picture("connect")
        browser.press("Send me a link")
        link = link_in(web.mailbox.next(account, after=0))
        browser.open(link)
        browser.picture("link")
        browser.press("Connect")
        proves("the page says who is connected", "(you)" in browser.words())

    with step(console, "The next run seats the teacher's students", shows="in the accounts that they had"):
        stage.run("licensepool", POOL)
        used = _seats(stage, KEYED)[1]
        wait_for("seated students in Kolibri", lambda: len(_learners(stage, records)) == used > 0)
        # Of all teachers of the school only the one who has connected.
        wait_for("the teacher's classes in Kolibri", lambda: len(_coaches(stage, records)) == 1)
        browser.open(f"{web.url}/licences?lang=en")
        browser.picture("licences")
        proves("the page shows the seats", str(used) in browser.words().split())
    show(console, stage.kubectl("get", "schoollicense", KEYED, "-n", stage.namespace))


def _tell_of_revoking(stage: Stage, records: Records, console: Console, *, web: Web, browser: Browser) -> None:
    account, old = teacher(records), key_in(web.mailbox.next(OFFICE, after=0))
    mails = len(web.mailbox.mails(account))
    with step(
        console,
        "The licence is revoked: kubectl delete schoollicense",
        shows="key dead, seats back, the teacher's access gone",
    ):
        stage.kubectl("delete", "schoollicense", KEYED, "-n", stage.namespace, "--timeout=60s")
        stage.run("licensepool", POOL)
        browser.open(f"{web.url}/licences?lang=en")
        proves("the teacher is connected to nothing", "not connected to any school licence" in browser.words())
        wait_for("the teacher has no class in Kolibri", lambda: not _coaches(stage, records))
        _enter(browser, web, old, account)
        browser.press("Send me a link")

    with step(console, "A whole school would leave its classes: that is asked", shows="and approved, by a commit"):
        held = stage.wait_held("learningapp", "kolibri")
        stage.approve(held, of="kolibri")
        stage.wait_ready("learningapp", "kolibri")
        proves("who has no seat is in no class", not _learners(stage, records))

    with step(console, "The licence is declared again", shows="with another key: no key ever lives again"):
        stage.declare_licence(KEYED)
        new = key_in(web.mailbox.next(OFFICE, after=1))
        proves("it is another key", new != old)
        proves("nobody got a link for the dead key", len(web.mailbox.mails(account)) == mails)
    say(console, f"  {OFFICE}: {new}")


def _enter(browser: Browser, web: Web, key: str, account: str) -> None:
    browser.open(f"{web.url}/connect?lang=en")
    browser.enter("key", key)
    browser.enter("account", account)


def teacher(records: Records) -> str:
    """The e-mail address of a teacher who has a homeroom in the school of the licence with a key."""
    homeroom = records.rows("classes", schoolSourcedId=SCHOOL, classType="homeroom")[0]["sourcedId"]
    taught = records.rows("enrollments", classSourcedId=homeroom, role="teacher")[0]["userSourcedId"]
    return records.rows("users", sourcedId=taught)[0]["email"]


def _seats(stage: Stage, licence: str) -> tuple[int, int]:
    """How many seats a licence was granted, and how many are in use."""
    status = stage.get("schoollicense", licence)["status"]
    return status["granted"], status["used"]


def _learners(stage: Stage, records: Records) -> set[str]:
    """Accounts that are learners of a class of the school of the licence with a key."""
    tables = stage.kolibri.tables()
    classes = _classes(tables, records)
    return {row["user_id"] for row in tables["membership"] if row["collection_id"] in classes}


def _coaches(stage: Stage, records: Records) -> set[str]:
    """Accounts that teach a class of that school."""
    tables = stage.kolibri.tables()
    classes = _classes(tables, records)
    return {row["user_id"] for row in tables["role"] if row["collection_id"] in classes}


def _classes(tables: Mapping[str, Sequence[Mapping[str, Any]]], records: Records) -> set[str]:
    (school,) = records.rows("orgs", sourcedId=SCHOOL)
    (facility,) = (row["id"] for row in tables["collection"] if row["name"] == school["name"])
    return {row["id"] for row in tables["collection"] if row["parent_id"] == facility}

"""All languages say the same, pages are usable without eyes, mouse or script, and a browser gets its language."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest

from homeroom.api import ChatType, Language
from homeroom.chats.calls import CallState
from homeroom.chats.linking import JoinState
from homeroom.seats.letters import CODES
from homeroom.web import calendars, words
from homeroom.web.membership import Standing

from .conftest import Page, Town, tell

TEMPLATES = Path(words.__file__).parent / "templates"


def places(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text)} - {None}


@pytest.mark.parametrize("key", words.TEXTS)
def test_every_language_says_it_with_the_same_values(key: str) -> None:
    texts = words.TEXTS[key]
    assert set(texts) == set(Language) == set(words.LANGUAGES.values())
    assert all(text.strip() for text in texts.values())
    assert len({frozenset(places(text)) for text in texts.values()}) == 1
    cyrillic = {language for language, text in texts.items() if re.search("[\u0400-\u04ff]", text)}
    assert cyrillic == {Language.RUSSIAN}


def test_every_text_is_used() -> None:
    sources = [*TEMPLATES.glob("*.html"), *TEMPLATES.parent.glob("[cdjls]*.py")]
    used = set(re.findall(r"""["']([a-z.-]+)["']""", "\n".join(path.read_text() for path in sources)))
    made = {f"{kind}.{part}" for kind in ("connect", "sign-in") for part in ("title", "lead")}
    made |= {f"{kind}.{part}" for kind in ("link.connect", "link.sign-in") for part in ("title", "text")}
    made |= {f"{kind}.{part}" for kind in ("leave", "remove") for part in ("title", "text", "yes")}
    made |= {
        f"{kind}.{part}"
        for kind in (
            "sent",
            "dead",
            "busy",
            "refused",
            "missing",
            "broken",
            "chats.dead",
            "chats.taken",
            "chats.join.dead",
            "chats.enough",
        )
        for part in ("title", "text")
    }
    made |= {f"mail.{kind}.{part}" for kind in ("connect", "sign-in") for part in ("subject", "text")}
    made |= {f"fault.{fault}" for fault in ("Length", "Letter", "Check", "Account")} | {"key.hint", "account.hint"}
    made |= {f"chats.fault.{fault}" for fault in ("Length", "Letter", "Check", "Chat", "Number", "Unsent")}
    made |= {f"lessons.fault.{fault}" for fault in ("Class", "Day", "End", "Title", "Many", *calendars.Fault)}
    made |= {f"lessons.left.{left}" for left in calendars.Left} | {"lessons.gone.title", "lessons.gone.text"}
    made |= {f"lessons.state.{state}" for state in CallState if state is not CallState.TOLD}
    made |= {"lessons.link.call", "lessons.link.chat"}
    made |= {f"chats.join.{state}" for state in JoinState}
    made |= {f"chats.type.{one}" for one in (*ChatType, "Extra")} | {f"chats.standing.{one}" for one in Standing}
    made |= {f"chats.reason.{one}" for one in ("held", "not-made-yet", "suspended")}
    assert set(words.TEXTS) - used - made == set()


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", Language.ENGLISH),
        ("sv-SE,sv;q=0.9,en;q=0.8", Language.SWEDISH),
        ("de, nl;q=0.5, en;q=0.4", Language.DUTCH),
        ("en;q=0.1, RU-ru;q=0.2", Language.RUSSIAN),
        ("sv;q=0, en", Language.ENGLISH),
        ("fi", Language.ENGLISH),
        (";;q=,,sv;q=x,\x00", Language.ENGLISH),
        ("x," * 100_000 + "sv", Language.ENGLISH),
    ],
)
def test_a_browser_gets_its_language(accept: str, language: Language) -> None:
    assert words.preferred(accept) is language


class _Outline(HTMLParser):
    """What a screen reader goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.language = ""
        self.headings: list[str] = []
        self.labelled: set[str] = set()
        self.inputs: list[str] = []
        self.ids: list[str] = []
        self.described: list[str] = []
        self.main = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "html":
            self.language = values["lang"]
        elif tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)
        elif tag == "label":
            self.labelled.add(values["for"])
        elif tag == "input" and values.get("type") != "hidden":
            self.inputs.append(values["id"])
            self.described += values.get("aria-describedby", "").split()
        elif tag == "main":
            self.main += 1


def outline(page: Page) -> _Outline:
    found = _Outline()
    found.feed(page.text)
    return found


@pytest.mark.parametrize("code", words.LANGUAGES)
async def test_pages_are_well_formed_in_each_language(town: Town, code: str) -> None:
    tell(town.store, waiting=3)
    await town.signed_in("bo@north.example")
    mine = await town.signed_in("anna")
    lang = f"?lang={code}"
    link = (await town.link("anna")).partition("?")[0]
    remove = mine.form("/licences/remove", teacher="t-2")
    pages = [
        *[await town.browser.get(path + lang) for path in ("/connect", "/sign-in", "/sent", link, "/licences", "/x")],
        await town.browser.post("/connect" + lang, {"key": "x", "account": ""}),
        await town.browser.post("/licences/remove" + lang, remove),
        await town.browser.post("/licences/leave" + lang, mine.form("/licences/leave")),
    ]
    for page in pages:
        found = outline(page)
        assert found.language == page.headers["content-language"] == code
        assert found.headings[0] == "h1"
        assert found.headings.count("h1") == found.main == 1
        assert found.labelled == set(found.inputs)
        assert len(set(found.ids)) == len(found.ids)
        assert set(found.described) <= set(found.ids)
        assert 'name="viewport"' in page.text
    # Whatever is followed or sent from a page stays in the language that was chosen.
    for page in pages:
        ways = re.findall(r'(?:action|href)="(/[^"]*)"', page.text)
        assert {way for way in ways if not way.endswith(lang)} == {"/style.css"}


async def test_a_mistake_is_told_where_it_is(town: Town) -> None:
    page = await town.asked("anna", "BCDF")
    assert page.status == 422
    assert 'role="alert"' in page.text
    assert re.search(r'<input id="key"[^>]*value="BCDF"[^>]*aria-invalid="true"', page.text)
    assert re.search(r'<input id="account"[^>]*value="anna"(?![^>]*aria-invalid)', page.text)


def contrast(one: str, two: str) -> float:
    """As WCAG 2 reckons it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(two)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_texts_stand_out_from_what_is_behind_them() -> None:
    style = (TEMPLATES / "style.css").read_text()
    dark = set(re.findall(r"(?<![-\w])color: (#[0-9a-f]{6})", style))
    behind = set(re.findall(r"background: (#[0-9a-f]{6})", style)) - {"#0b4a9e"} | {"#ffffff"}
    assert {"#1c2430", "#0b4a9e", "#45505f", "#a01414"} <= dark
    assert min(contrast(text, ground) for text in dark for ground in behind) >= 7
    assert contrast("#ffffff", "#0b4a9e") >= 7


def test_codes_are_those_of_the_letters() -> None:
    assert set(words.NAMES) == set(CODES.values())

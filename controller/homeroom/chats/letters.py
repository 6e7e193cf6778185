# ruff: noqa: RUF001 (Russian is one of the languages)
"""The letter with a personal code, in four languages, as a mail and as a page to print. Pure text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final

from homeroom.api import Language

_STYLE: Final = """
@page { size: A4; margin: 20mm }
body { font: 12pt/1.45 sans-serif; color: #000; margin: 0 }
.letter { break-after: page; max-width: 170mm; margin: 0 auto; padding: 1em 0 }
.letter:last-child { break-after: auto }
.place { color: #444; display: flex; justify-content: space-between }
h1 { font-size: 16pt; overflow-wrap: anywhere }
.code { font: 700 18pt/1.6 monospace; letter-spacing: .06em; white-space: nowrap }
.qr svg { width: 45mm; height: 45mm }
.url { font-family: monospace; overflow-wrap: anywhere }
@media screen { .letter { border-bottom: 1px dashed #888 } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One person's letter.

    `group`: class by which letters are handed out; `code`: as people read it; `url`: of the page to enter it on; `qr`:
    an SVG element that leads there with the code.
    """

    name: str
    group: str
    code: str
    url: str
    qr: str


_SUBJECTS: Final = {
    Language.ENGLISH: "Your personal code for the school's chats",
    Language.SWEDISH: "Din personliga kod till skolans chattar",
    Language.DUTCH: "Uw persoonlijke code voor de schoolchats",
    Language.RUSSIAN: "Ваш личный код для школьных чатов",
}
_LEADS: Final = {
    Language.ENGLISH: "with this personal code you link your chat account; then the chats that you belong to open by "
    "themselves:",
    Language.SWEDISH: "med den här personliga koden kopplar du ditt chattkonto; sedan öppnas chattarna som du hör till "
    "av sig själva:",
    Language.DUTCH: "met deze persoonlijke code koppelt u uw chataccount; daarna gaan de chats waar u bij hoort "
    "vanzelf open:",
    Language.RUSSIAN: "с этим личным кодом вы подключаете свою учётную запись в чате; после этого ваши чаты откроются "
    "сами:",
}
_WHERE: Final = {
    Language.ENGLISH: "Enter it on this page:",
    Language.SWEDISH: "Skriv in den på den här sidan:",
    Language.DUTCH: "Vul hem in op deze pagina:",
    Language.RUSSIAN: "Введите его на этой странице:",
}
_RULES: Final = {
    Language.ENGLISH: "It works once, until {until}, for you alone: give it to nobody, not even at school. A newer "
    "letter takes the place of this one.",
    Language.SWEDISH: "Koden fungerar en gång, till och med {until}, bara för dig: ge den inte till någon, inte ens på "
    "skolan. Ett nyare brev ersätter det här.",
    Language.DUTCH: "De code werkt één keer, tot en met {until}, alleen voor u: geef hem aan niemand, ook niet op "
    "school. Een nieuwere brief komt in de plaats van deze.",
    Language.RUSSIAN: "Код действует один раз, по {until} включительно, только для вас: не передавайте его никому, "
    "даже в школе. Более новое письмо заменяет это.",
}
_HELLO: Final = {
    Language.ENGLISH: "Hello,",
    Language.SWEDISH: "Hej!",
    Language.DUTCH: "Goedendag,",
    Language.RUSSIAN: "Здравствуйте!",
}


def mail(language: Language, *, title: str, code: str, url: str, until: date) -> tuple[str, str]:
    """Subject and text of the mail. `title`: of the place, as people call it. Nobody is named: mails go astray."""
    parts = (
        _HELLO[language],
        _LEADS[language],
        f"    {code}",
        f"{_WHERE[language]}\n\n    {url}",
        _RULES[language].format(until=until.isoformat()),
        " ".join(title.split()),
    )
    return _SUBJECTS[language], "\n\n".join(parts) + "\n"


def page(language: Language, letters: list[Letter], *, code: str, title: str, until: date) -> str:
    """All letters as one page of HTML that needs nothing else, a sheet of A4 each. `code`: of the language."""
    rules = escape(_RULES[language].format(until=until.isoformat()))
    sheets = "\n".join(
        f'<section class="letter">\n<p class="place"><span>{escape(title)}</span><span>{escape(one.group)}</span></p>\n'
        f"<h1>{escape(one.name)}</h1>\n<p>{escape(_HELLO[language])}</p>\n<p>{escape(_LEADS[language])}</p>\n"
        f'<p class="code">{escape(one.code)}</p>\n<p>{escape(_WHERE[language])}</p>\n'
        f'<p class="url">{escape(one.url)}</p>\n<p class="qr">{one.qr}</p>\n<p>{rules}</p>\n</section>'
        for one in letters
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{code}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(_SUBJECTS[language])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{sheets}\n"
        "</body>\n</html>\n"
    )

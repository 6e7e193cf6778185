# ruff: noqa: RUF001 (Russian is one of the languages)
"""The letter with a licence key, in four languages. Pure text; `homeroom.mail` sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from homeroom.api import Language
from homeroom.seats import keys

CODES: Final = {Language.ENGLISH: "en", Language.SWEDISH: "sv", Language.DUTCH: "nl", Language.RUSSIAN: "ru"}
"""ISO 639 codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail to be sent. `language`: its ISO 639 code."""

    subject: str
    text: str
    language: str


_SUBJECTS: Final = {
    Language.ENGLISH: "Licence key for {unit}",
    Language.SWEDISH: "Licensnyckel för {unit}",
    Language.DUTCH: "Licentiesleutel voor {unit}",
    Language.RUSSIAN: "Лицензионный ключ: {unit}",
}
_TEXTS: Final = {
    Language.ENGLISH: """\
Hello,

this is the licence key of {unit}:

    {key}

Teachers of the school use it to connect to the licence{where}

Please pass it on to them only: whoever has the key can ask to be connected.

This message was sent automatically. You get it because your address was given as a contact for this licence.
""",
    Language.SWEDISH: """\
Hej!

Här är licensnyckeln för {unit}:

    {key}

Med den ansluter sig skolans lärare till licensen{where}

Lämna den bara vidare till dem: den som har nyckeln kan begära att bli ansluten.

Det här meddelandet skickades automatiskt. Du får det eftersom din adress har angetts som kontakt för licensen.
""",
    Language.DUTCH: """\
Goedendag,

dit is de licentiesleutel van {unit}:

    {key}

Hiermee koppelen de leraren van de school zich aan de licentie{where}

Geef de sleutel alleen aan hen door: wie de sleutel heeft, kan vragen om gekoppeld te worden.

Dit bericht is automatisch verzonden. U ontvangt het omdat uw adres als contact voor deze licentie is opgegeven.
""",
    Language.RUSSIAN: """\
Здравствуйте!

Лицензионный ключ для {unit}:

    {key}

С его помощью учителя школы подключаются к лицензии{where}

Передавайте ключ только им: тот, у кого есть ключ, может запросить подключение.

Это письмо отправлено автоматически. Вы получили его, потому что ваш адрес указан как контактный для этой лицензии.
""",
}
_WHERE: Final = {
    Language.ENGLISH: " here:",
    Language.SWEDISH: " här:",
    Language.DUTCH: " op deze pagina:",
    Language.RUSSIAN: " на этой странице:",
}


def key_letter(language: Language, *, unit: str, key: str, url: str | None) -> Letter:
    """The letter with a normalised key of the licence of a school `unit`. `url`: of the page to connect on, if any."""
    unit = " ".join(unit.split())
    where = "." if url is None else f"{_WHERE[language]}\n\n    {url}"
    text = _TEXTS[language].format(unit=unit, key=keys.shown(key), where=where)
    return Letter(subject=_SUBJECTS[language].format(unit=unit), text=text, language=CODES[language])

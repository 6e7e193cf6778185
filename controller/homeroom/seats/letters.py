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

Teachers of the school connect to the licence with it.{where} Please pass it on only to them: whoever
has the key can ask to be connected.

This message was sent automatically. You get it because your address is named as the contact for this licence.
""",
    Language.SWEDISH: """\
Hej!

Här är licensnyckeln för {unit}:

    {key}

Skolans lärare ansluter sig till licensen med den.{where} Lämna den bara vidare till dem: den som har
nyckeln kan begära att bli ansluten.

Det här meddelandet skickades automatiskt. Du får det eftersom din adress är angiven som kontakt för licensen.
""",
    Language.DUTCH: """\
Goedendag,

dit is de licentiesleutel van {unit}:

    {key}

Leraren van de school koppelen zich hiermee aan de licentie.{where} Geef de sleutel alleen aan hen door: wie
de sleutel heeft, kan vragen om gekoppeld te worden.

Dit bericht is automatisch verzonden. U ontvangt het omdat uw adres als contact voor deze licentie is opgegeven.
""",
    Language.RUSSIAN: """\
Здравствуйте!

Лицензионный ключ для {unit}:

    {key}

С его помощью учителя школы подключаются к лицензии.{where} Передавайте ключ только им: тот, у кого
есть ключ, может запросить подключение.

Это письмо отправлено автоматически. Вы получили его, потому что ваш адрес указан как контактный для этой лицензии.
""",
}
_WHERE: Final = {
    Language.ENGLISH: " They do so here:\n\n    {url}\n\n",
    Language.SWEDISH: " Det gör de här:\n\n    {url}\n\n",
    Language.DUTCH: " Dat doen zij hier:\n\n    {url}\n\n",
    Language.RUSSIAN: " Это можно сделать здесь:\n\n    {url}\n\n",
}


def key_letter(language: Language, *, unit: str, key: str, url: str | None) -> Letter:
    """The letter with a normalised key of the licence of a school `unit`. `url`: of the page to connect on, if any."""
    unit = " ".join(unit.split())
    where = _WHERE[language].format(url=url) if url is not None else ""
    text = _TEXTS[language].format(unit=unit, key=keys.shown(key), where=where).replace("\n\n ", "\n\n")
    return Letter(subject=_SUBJECTS[language].format(unit=unit), text=text, language=CODES[language])

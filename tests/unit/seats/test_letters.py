"""The letter with a key: in every language it names the unit, has the key, and the page where there is one."""

from __future__ import annotations

import random

import pytest

from homeroom.api import Language
from homeroom.seats import keys
from homeroom.seats.letters import CODES, key_letter

KEY = keys.new_key(random.Random(5).randrange)
URL = "https://homeroom.example/connect"


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("url", [URL, None])
def test_a_letter_says_all_that_is_needed(language: Language, url: str | None) -> None:
    letter = key_letter(language, unit="Norra skolan", key=KEY, url=url)
    assert "Norra skolan" in letter.subject
    assert letter.text.count("Norra skolan") == letter.text.count(keys.shown(KEY)) == 1
    assert letter.text.count(URL) == (url is not None)
    assert not set("{}") & set(letter.text + letter.subject)
    assert "\n\n\n" not in letter.text
    assert all(line == line.rstrip() and len(line) <= 115 for line in letter.text.split("\n"))
    assert KEY not in letter.subject
    assert keys.shown(KEY) not in letter.subject
    assert letter.language == CODES[language]


def test_letters_differ_by_language_and_nothing_else_is_left_untranslated() -> None:
    letters = [key_letter(language, unit="U", key=KEY, url=URL) for language in Language]
    lines = [set(letter.text.split("\n")) - {""} for letter in letters]
    assert len({letter.subject for letter in letters}) == len(Language)
    assert set.intersection(*lines) == {f"    {keys.shown(KEY)}", f"    {URL}"}


def test_a_unit_of_a_register_stays_on_its_line() -> None:
    letter = key_letter(Language.ENGLISH, unit="Norra\r\nBcc: x@y.example\n{key}", key=KEY, url=None)
    assert letter.subject == "Licence key for Norra Bcc: x@y.example {key}"

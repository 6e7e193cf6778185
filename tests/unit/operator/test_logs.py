"""Logs carry nobody's data and no secret, whatever a caller or a library puts into them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from homeroom.operator import logs
from homeroom.operator.logs import masked, redacted


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(level="info", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


words = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=8)
emails = st.builds("{}.{}@{}.example".format, words, words, words)
nested = st.recursive(
    emails,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


class TestMasks:
    @given(emails, st.text(max_size=10), nested)
    def test_no_address_survives_anywhere(self, email: str, text: str, value: object) -> None:
        record = {"event": f"{text} {email} {text}", "extra": value, "object": ValueError(email)}
        shown = repr(redacted(None, "info", record))
        assert email not in shown
        assert ".example" not in shown

    @pytest.mark.parametrize(
        "text",
        [
            "Authorization: Bearer abcdef0123456789",
            "{'Authorization': 'Basic c2VjcmV0OnNlY3JldA=='}",
            "sent bearer abcdef0123456789 to the server",
            "https://user:abcdef0123456789@sis.example/export.zip",
            "GET /export.zip?access_token=abcdef0123456789&x=1",
            "password: abcdef0123456789",
            '{"client_secret": "abcdef0123456789"}',
        ],
    )
    def test_no_credential_survives(self, text: str) -> None:
        shown = masked(text)
        assert "abcdef" not in shown
        assert "c2VjcmV0" not in shown

    @pytest.mark.parametrize(
        "text",
        [
            "LearningApp/lakeside/kolibri",
            "GET https://10.0.0.1:6443/apis/homeroom.dev/v1alpha1/districts?watch=true",
            "s-001: 412 students, 23 teachers",
            "CustomResourceDefinition schools.homeroom.dev does not exist",
        ],
    )
    def test_what_is_nobodys_stays(self, text: str) -> None:
        assert masked(text) == text

    def test_personal_fields_are_dropped_at_every_depth(self) -> None:
        person = {"givenName": "Ada", "family-name": "Byron", "USER_NAME": "ada", "sourcedId": "u-1", "phone": "1"}
        record = {"event": "seen", "name": "Ada", "rows": [person], "token": "x", "count": 3, "ok": True, "none": None}
        assert redacted(None, "info", record) == {
            "event": "seen",
            "rows": [{"sourcedId": "u-1"}],
            "count": 3,
            "ok": True,
            "none": None,
        }


class TestPipeline:
    def test_our_lines_are_json_with_level_time_and_what_is_bound(self, out: io.StringIO) -> None:
        with structlog.contextvars.bound_contextvars(key="District/n/lakeside"):
            structlog.get_logger("homeroom.test").info("read", students=412)
        (line,) = lines(out)
        assert line.pop("timestamp").endswith("Z")
        assert line == {
            "event": "read",
            "level": "info",
            "logger": "homeroom.test",
            "key": "District/n/lakeside",
            "students": 412,
        }

    def test_a_traceback_is_masked_as_well(self, out: io.StringIO) -> None:
        try:
            int("ada.byron@school.example")
        except ValueError:
            structlog.get_logger("homeroom.test").exception("a run crashed")
            logging.getLogger("sqlalchemy").exception("of %s", "ada.byron@school.example")
        assert "byron" not in out.getvalue()
        assert all("ValueError" in line["exception"] for line in lines(out))

    def test_libraries_take_the_same_way(self, out: io.StringIO) -> None:
        logging.getLogger("aiohttp.server").warning("Error handling request from %s", "ada@school.example")
        assert lines(out)[0]["event"] == "Error handling request from ***@***"

    def test_kopf_is_tamed(self, out: io.StringIO) -> None:
        kopf = logging.getLogger("kopf._cogs.clients.api")
        kopf.info("Handler 'hand_over' succeeded.")
        kopf.error(
            "Request attempt #1 failed; will retry: GET https://x -> APITooManyRequests('storage is (re)initializing')"
        )
        kopf.error("Request attempt #3/9 failed; will retry: GET https://x -> APIServerError('later')")
        logging.getLogger("kopf._core.reactor.running").warning(
            "OS signals are ignored: running not in the main thread."
        )
        about = {"kind": "School", "namespace": "n", "name": "s-1"}
        logging.getLogger("kopf.objects").error("really wrong", extra={"k8s_ref": about})
        assert [(line["level"], line["event"][:12]) for line in lines(out)] == [
            ("warning", "Request atte"),
            ("error", "really wrong"),
        ]
        assert lines(out)[1]["key"] == "School/n/s-1"

    def test_a_terminal_gets_text(self) -> None:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        out = io.StringIO()
        try:
            logs.configure(level="info", console=True, stream=out)
            structlog.get_logger("homeroom.test").info("read", given="Ada", students=412)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.reset_defaults()
        assert "students" in out.getvalue()
        assert "Ada" not in out.getvalue()
        assert not out.getvalue().startswith("{")

"""Logs: one JSON object per line on stderr, or something readable on a terminal; with nobody's data in them.

Our own records (structlog) and those of the libraries (kopf, aiohttp) take the same way: `redacted` is its last step
before rendering, and cannot be switched off. Whatever runs for a root carries its `key`.

`configure` is called once by the entry point; importing this module changes nothing.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_PERSONAL = frozenset({
    "authorization", "birthdate", "cookie", "dateofbirth", "email", "family", "familyname", "firstname", "fullname",
    "given", "givenname", "lastname", "middlename", "mobile", "name", "nickname", "password", "phone",
    "preferredfirstname", "preferredgivenname", "secret", "sms", "telephone", "token", "user", "username",
})  # fmt: skip
"""Fields that never appear, whatever is in them; compared without case, `-` and `_`."""

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(authorization[\"']?\s*[:=]\s*[\"']?)[^\"'\r\n]+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"(?i)\b([a-z0-9_-]*(?:password|passwd|secret|token|api[_-]?key))([\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;)}]+"),
     r"\1\2***"),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"[\w.+'%-]+@[\w-]+(?:\.[\w-]+)+"), "***@***"),
)  # fmt: skip

_RETRIED = re.compile(r"Request attempt #\d+(/\d+)? failed; (?:will retry|escalating): ")
_EXPECTED = ("storage is (re)initializing", "OS signals are ignored")


def masked(text: str) -> str:
    """`text` without e-mail addresses, credentials in headers, addresses and assignments."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def redacted(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    """The last step before rendering: fields that hold personal data go, all others are masked, however deep."""
    return {key: _clean(value) for key, value in record.items() if not _is_personal(key)}


def _is_personal(key: object) -> bool:
    return str(key).lower().replace("_", "").replace("-", "") in _PERSONAL


def _clean(value: object) -> object:
    match value:
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {masked(str(key)): _clean(item) for key, item in value.items() if not _is_personal(key)}
        case str():
            return masked(value)
        case Sequence() | set() | frozenset() if not isinstance(value, bytes | bytearray):
            return [_clean(item) for item in value]
        case _:
            return masked(repr(value) if not isinstance(value, BaseException) else f"{type(value).__name__}: {value}")


def _named_object(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    """Kopf says about which object it speaks in an attribute of the record; ours is `key`."""
    source = record.get("_record")
    about = getattr(source, "k8s_ref", None)
    if isinstance(about, dict):
        record["key"] = f"{about.get('kind')}/{about.get('namespace')}/{about.get('name')}"
    return record


class _Tamed(logging.Filter):
    """Makes kopf speak of what is normal as of something normal."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is worth a line; its level may be lowered."""
        if not record.name.startswith("kopf"):
            return True
        message = record.getMessage()
        if any(text in message for text in _EXPECTED):
            return False
        if _RETRIED.match(message):  # an error to kopf; to us a server that is away for a moment
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def configure(*, level: str, console: bool | None = None, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr), from `level` on; readable if it is a terminal, else JSON."""
    out = stream or sys.stderr
    console = out.isatty() if console is None else console
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    render: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(out)
    handler.addFilter(_Tamed())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, _named_object],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redacted, render],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(
            max(logging.WARNING, root.level) if root.level > logging.DEBUG else root.level
        )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a test configures anew
    )

"""Structured JSON logs with request and trace ids. Personal data never goes into a log call."""

import logging
import os
import re
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from shared import context


def _add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    about = context.current()
    if about.request_id:
        event["request_id"] = about.request_id
    if about.traceparent:
        event["traceparent"] = about.traceparent
    return event


def _kind_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Log class and place of an exception, not its text: libraries quote the data they refuse."""
    error = event.pop("exc_info", None)
    if error:
        kind, _value, trace = sys.exc_info()
        event["error"] = kind.__name__ if kind else "unknown"
        event["at"] = places(trace)
    return event


def places(trace: TracebackType | None) -> list[str]:
    """The innermost frames of a traceback: file, line, function."""
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-8:]


def _dump(value: object, **_options: object) -> str:
    return orjson.dumps(value, default=str).decode()


MESSAGE = 300
"""Characters of a library's message."""
NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
LONG_NUMBER = re.compile(r"[0-9]{7}")
"""Telephone and identity numbers are longer."""
_streams: list[TextIO] = [sys.stderr]
"""Where the lines go."""


def write(lines: bytes) -> None:
    """Write whole lines that are formatted already, with one system call where it can be."""
    try:
        file = _streams[-1].fileno()
    except (OSError, ValueError):
        # A stream in memory, or one that was closed at the end of the process.
        return
    while lines:
        lines = lines[os.write(file, lines) :]


def configure(service: str, *, stream: TextIO | None = None) -> None:
    """JSON lines on standard error.

    Records of libraries come only from WARNING on.
    """
    _streams[:] = [stream or sys.stderr]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _add_context,
            _kind_only,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(_streams[0]),
        cache_logger_on_first_use=False,
    )
    _ = structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


class _LibraryHandler(logging.Handler):
    """Records of libraries, rendered with those values that cannot be personal data."""

    def emit(self, record: logging.LogRecord) -> None:
        about: dict[str, object] = {"logger": record.name, "message": _rendered(record)}
        if record.exc_info and record.exc_info[0]:
            about["error"] = record.exc_info[0].__name__
            about["at"] = places(record.exc_info[2])
        structlog.get_logger(record.name).log(record.levelno, "library", **about)


def _rendered(record: logging.LogRecord) -> str:
    """The message's first line.

    asyncio fills in its own templates and shows an exception's text from the second line on.
    """
    template, values = str(record.msg), record.args
    message = template
    try:
        if isinstance(values, Mapping):
            message = template % {name: _harmless(value) for name, value in values.items()}
        elif values:
            message = template % tuple(map(_harmless, values))
    except (TypeError, ValueError, KeyError):
        # A value was replaced by a text where the template wants a number.
        message = template
    return message.partition("\n")[0][:MESSAGE]


def _harmless(value: object) -> object:
    """Numbers, and texts that look like names of hosts, topics or classes; of others the type.

    Libraries quote the data that they refuse, in texts and in exceptions.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and NAME.fullmatch(value) and not LONG_NUMBER.search(value):
        return value
    return type(value).__name__

"""Structured JSON logs with request and trace ids. Personal data never goes into a log call."""

import logging
import os
import sys
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

    Records of libraries come only from WARNING on, without their arguments.
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
    """Records of libraries: logger, level and message template, without the values.

    asyncio fills in its own templates and shows an exception's text from the second line on, so
    only the first line is kept.
    """

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.warning(
            "library",
            logger=record.name,
            level=record.levelname,
            message=str(record.msg).partition("\n")[0][:200],
        )

"""Structured JSON logs with request and trace ids. Personal data never goes into a log call."""

import logging
import sys
from typing import Any

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
    """Of an exception log kind and place, not its text: messages of libraries can quote the data they choked on."""
    error = event.pop("exc_info", None)
    if error:
        kind, _value, trace = sys.exc_info()
        event["error"] = kind.__name__ if kind else "unknown"
        event["at"] = places(trace)
    return event


def places(trace: Any) -> list[str]:
    """The innermost frames of a traceback: file, line, function."""
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-8:]


def configure(service: str, *, stream: Any = None) -> None:
    """JSON lines on standard error; libraries' own records only from WARNING, without their arguments."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _add_context,
            _kind_only,
            structlog.processors.JSONRenderer(
                serializer=lambda value, **_: orjson.dumps(value, default=str).decode()
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    _ = structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


class _LibraryHandler(logging.Handler):
    """Records of libraries: logger, level and message template, never the values filled into it.

    asyncio fills its own in and shows an exception's text from the second line on: the first line is all that is kept.
    """

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.warning(
            "library",
            logger=record.name,
            level=record.levelname,
            message=str(record.msg).partition("\n")[0][:200],
        )

"""uvicorn's HTTP protocol, sending head and body of an answer with one system call."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.request_log import request_log
from gateway.templates import UNMATCHED


class Corked:
    """A transport that joins what is written within one turn of the event loop.

    Everything else goes to the transport itself.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pending: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._pending:
            _ = self._call_soon(self.flush)
        self._pending.append(data)

    def flush(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # an attribute of the transport, of any type
        return getattr(self._transport, name)


class CorkedProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`, made by `corked`.

    A caller that does not read is cut off after `send_timeout` seconds, and with it the exchange.
    The transport says when it is blocked, which costs nothing for callers who do read; a deadline
    around each `send` would.
    """

    send_timeout = 60.0
    _blocked: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        corked = Corked(cast("asyncio.Transport", transport))
        super().connection_made(cast("asyncio.Transport", corked))

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; it never becomes a request, and is logged like one."""
        request_log.add(
            "-",
            UNMATCHED,
            status=400,
            seconds=0.0,
            service="none",
            caller="anonymous",
            request_id="",
        )
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._blocked = self.loop.call_later(self.send_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unblock()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unblock()

    def _unblock(self) -> None:
        if self._blocked is not None:
            self._blocked.cancel()
            self._blocked = None


def corked(send_timeout: float) -> type[CorkedProtocol]:
    """The protocol class with this time-out in seconds.

    It is a class because uvicorn makes one instance per connection.
    """
    return type("CorkedProtocol", (CorkedProtocol,), {"send_timeout": send_timeout})

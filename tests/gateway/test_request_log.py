"""The request log of the gateway: every request has its line, and no line tells about a person."""

import asyncio
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import request_log as module
from gateway.request_log import RequestLog, request_log
from gateway.routes import find_route
from gateway.templates import FILE, template_of
from shared import logs
from tests.conftest import TokenFactory
from tests.gateway.conftest import GateFactory, raw

FIELDS = {
    *("event", "timestamp", "level", "service", "method", "route", "upstream", "status", "ms"),
    *("caller", "request_id"),
}


@contextmanager
def written(log: Path) -> Generator[list[dict[str, Any]]]:
    """The lines of requests that are logged while the block runs, filled in at its end."""
    request_log.flush()
    before, lines = log.stat().st_size, list[dict[str, Any]]()
    yield lines
    request_log.flush()
    for line in log.read_bytes()[before:].splitlines():
        entry = json.loads(line)
        if entry["event"] == "request" and entry["service"] == "gateway":
            lines.append(entry)


async def test_every_answer_has_a_line_with_its_trace_id(
    gate: GateFactory, token: TokenFactory, test_log: Path
) -> None:
    g = await gate(max_body_bytes=2000, burst=4, rate_per_address=0.01)
    person, staff = token(), token(kind="staff", roles=["approver"])
    case = "/api/v1/cases/files/5f0c2a52-7d5e-4d2f-9a3c-3d0a7a3e9a11"
    wanted = [
        ("GET", "/api/v1/matters/catalogue", "200", "person", person),
        ("GET", case, "502", "staff", staff),
        ("GET", "/api/v1/cases/files", "401", "anonymous", {"Authorization": "Bearer no"}),
        ("GET", "/api/v1/nowhere/13989047791", "404", "anonymous", {}),
        ("POST", "/api/v1/matters/personal-guides", "413", "person", person),
        ("GET", "/api/v1/matters/areas", "200", "anonymous", {}),
        ("GET", "/api/v1/matters/areas", "200", "anonymous", {}),
        ("GET", "/api/v1/matters/areas", "200", "anonymous", {}),
        ("GET", "/api/v1/matters/areas", "429", "anonymous", {}),
    ]

    traces: list[str] = []
    with written(test_log) as lines:
        for method, path, _, _, headers in wanted:
            content = b"x" * 3000 if method == "POST" else None
            answer = await g.client.request(
                method, path, headers=headers, content=content, params={"name": "金丝雀央宗"}
            )
            traces.append(answer.headers["x-request-id"])
            if answer.status_code >= 400:
                assert answer.json()["trace_id"] == traces[-1]

    assert [(line["method"], str(line["status"]), line["caller"]) for line in lines] == [
        (method, status, caller) for method, _, status, caller, _ in wanted
    ]
    assert [line["request_id"] for line in lines] == traces
    assert [line["route"] for line in lines][:5] == [
        "/api/v1/matters/catalogue",
        "/api/v1/cases/files/{case_id}",
        "/api/v1/cases/files",
        "unmatched",
        "/api/v1/matters/personal-guides",
    ]
    for line in lines:
        assert set(line) == FIELDS
    told = json.dumps(lines, ensure_ascii=False)
    assert not [secret for secret in ("13989047791", "5f0c2a52", "金丝雀") if secret in told]


async def test_pages_and_what_is_no_http_have_lines_too(gate: GateFactory, test_log: Path) -> None:
    g = await gate()

    with written(test_log) as lines:
        _ = await g.client.get("/rate/aVerySecretToken")
        _ = await g.client.get("/phone/13989047791")
        answer = await raw(g.port, b"\x16\x03\x01 13989047791\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400")
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/rate/{token}", 200),
        ("unmatched", 404),
        ("unmatched", 400),
    ]
    assert "13989047791" not in json.dumps(lines)
    assert "aVerySecretToken" not in json.dumps(lines)


async def test_caller_who_leaves_has_a_line(gate: GateFactory, test_log: Path) -> None:
    async def slow(_reader: Any, _writer: Any, _head: bytes) -> None:
        await asyncio.sleep(5)

    g = await gate(slow)
    with written(test_log) as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", g.port)
        writer.write(b"GET /api/v1/matters/areas HTTP/1.1\r\nhost: x\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.close()
        await asyncio.sleep(0.3)

    assert [line["status"] for line in lines] == [499]


def test_every_path_of_the_contracts_has_its_template() -> None:
    templates = FILE.read_text().split()
    for template in templates:
        path = template.replace("{", "x").replace("}", "")
        assert template_of(path) == template
        assert find_route("GET", path=path) is not None
    assert template_of("/api/v1/cases/files/1/nothing-of-ours") == "unmatched"


def add(log: RequestLog, number: int) -> None:
    log.add(
        "GET",
        "/x",
        status=200,
        seconds=0.0,
        service="cases",
        caller="person",
        request_id=f"id-{number}",
    )


def test_collector_that_stands_still_holds_up_nobody_and_loss_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lines go into a pipe that nobody reads, as from a collector that hangs."""
    reading, writing = os.pipe()
    monkeypatch.setattr(module, "MAX_LINES", 1000)
    stream = os.fdopen(writing, "w")
    monkeypatch.setattr(logs, "_streams", [stream])
    dropped = module.DROPPED._value.get()
    log = RequestLog()

    begun = time.monotonic()
    for number in range(3000):
        add(log, number)
        if number == 1500:
            time.sleep(0.3)  # The thread takes what fits into the pipe.
    took = time.monotonic() - begun
    lost = module.DROPPED._value.get() - dropped

    got = b""
    while got.count(b"\n") < 3000 - lost:
        got += os.read(reading, 65536)
    os.close(reading)
    add(log, 3000)
    log.flush()  # Nobody reads any more: counted, and no error.
    stream.close()

    assert took < 2
    assert 0 < lost < 3000
    numbers = [int(json.loads(line)["request_id"][3:]) for line in got.splitlines()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3000 - lost
    assert module.DROPPED._value.get() - dropped == lost + 1

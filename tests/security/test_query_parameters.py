"""No value of a query parameter is an error of the server; no forged cursor is taken."""

import base64
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded import SERVICES
from tests.conftest import ClientFactory, TokenFactory
from tests.security.test_object_access import smallest_query
from tests.security.world import World, build_world

CALLERS = ("administrator", "owner", "department", "system", "peer", "auditor")
HOSTILE = [
    "",
    "\x00",
    "a\x00b",
    "-1",
    "0",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    str(10**40),
    "1e999",
    "NaN",
    "true",
    "0001-01-01",
    "9999-12-31",
    "9999-12-31T23:59:59+00:00",
    "2026-02-30",
    "'; --",
    "%",
    "\\",
    "茶" * 600,
    "\U0001f4a9",
    "00000000-0000-0000-0000-000000000000",
]


def forged(content: str, signature: str = "") -> str:
    encoded = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return encoded + signature


CURSORS = [
    forged(content, signature)
    for content in (
        "[1]",
        "[]",
        "{}",
        "null",
        "[null]",
        '["x"]',
        "[[1]]",
        '[{"a": 1}]',
        "[1e400]",
        f"[{10**30}]",
        '["9999-12-31"]',
        '["00000000-0000-0000-0000-000000000000"]',
        '["2026-01-01", "00000000-0000-0000-0000-000000000000"]',
        '[0, 0, "00000000-0000-0000-0000-000000000000"]',
        '["a\\u0000b"]',
    )
    for signature in ("", ".", ".AAAAAAAAAAAAAAAAAAAAAA")
]


def parameters_of(world: World) -> list[tuple[str, str, str]]:
    """Method, path and name of each query parameter of each operation."""
    found: list[tuple[str, str, str]] = []
    document: dict[str, Any] = world.client.app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    found.append((method, path, parameter["name"]))
    return found


def filled(path: str) -> str:
    """The path with ids that name nothing."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}00000000-0000-7000-8000-000000000000{rest.partition('}')[2]}"
    return path


@pytest.mark.parametrize("service", SERVICES)
async def test_no_query_parameter_is_an_error_of_the_server(
    service: str, client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    world = await build_world(service, client_of, token, tmp_path)
    seen: set[int] = set()
    for method, path, name in parameters_of(world):
        values = CURSORS if name == "cursor" else HOSTILE
        needed = smallest_query(world, path) if method == "get" else {}
        for value in values:
            for caller in CALLERS:
                answer = await world.client.request(
                    method.upper(),
                    filled(path),
                    params={**needed, name: value},
                    headers=world.people[caller],
                )
                place = f"{method} {path} {name}={value[:40]!r} as {caller}: {answer.text[:200]}"
                assert answer.status_code < 500, place
                if name == "cursor" and answer.status_code == 200:
                    pytest.fail(f"a forged cursor was taken: {place}")
                seen.add(answer.status_code)
    assert 400 in seen or 422 in seen


async def test_cursor_is_good_for_its_own_query_alone(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    world = await build_world("matters", client_of, token, tmp_path)
    administrator = world.people["administrator"]
    first = await world.client.get("/api/v1/matters/catalogue?limit=1")
    cursor = first.json()["next"]
    assert cursor is not None

    async def status(query: str) -> int:
        answer = await world.client.get(f"/api/v1/matters/{query}", headers=administrator)
        return answer.status_code

    assert await status(f"catalogue?limit=2&cursor={cursor}") == 200
    assert await status(f"catalogue?area=540100000000&cursor={cursor}") == 400
    assert await status(f"bundles?cursor={cursor}") == 400
    assert await status(f"catalogue?cursor={cursor[:-1]}A") in {200, 400}
    assert await status(f"catalogue?cursor={cursor.partition('.')[0]}") == 400

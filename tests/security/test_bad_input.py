"""Bad input of every kind, at every endpoint.

The answer is one RFC 9457 problem that names field and rule of every fault; nothing is stored.

The doors come from each service's OpenAPI, so that a new one is tried without being named.
"""

import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.embedded import SERVICES
from shared.database.session import Database
from shared.errors import PROBLEM_TYPE
from shared.runtime.storage import MAX_FILE
from tests.builders.matters import CITY, DEPARTMENT, a_document
from tests.cases.conftest import APPLICANT, PDF, StackFixture
from tests.conftest import ClientFactory, Headers, ServiceClient, TokenFactory
from tests.security.test_object_access import Knocker
from tests.security.world import SCOPES, STAFF, World, build_world, holding_of

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
NOT_JSON = (b"{", b'{"a": }', b"\xff\xfe{}", b"", b"[" * 3000, b'{"a": 1', b"NaN")
NO_OBJECT = (b"null", b"[]", b'"text"', b"7")
Counts = dict[str, int]


@pytest.fixture(params=SERVICES)
async def world(
    request: pytest.FixtureRequest, client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> World:
    return await build_world(request.param, client_of, token, tmp_path)


async def counts(database: Database) -> Counts:
    """Rows of every table."""
    connection = await database.connect()
    try:
        names = [row["tablename"] for row in await connection.fetch(TABLES)]
        return {
            name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') or 0 for name in names
        }
    finally:
        await connection.close()


def problem(answer: httpx.Response, status: int) -> list[str]:
    """The fields that a refusal names, each with its rule and words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_TYPE
    errors = answer.json()["errors"]
    assert all(error["field"] and error["rule"] and error["message"] for error in errors)
    return [error["field"] for error in errors]


def everybody(token: TokenFactory) -> list[Headers]:
    """Whoever may open any door."""
    roles = [*STAFF, "administrator", "supervisor"]
    return [
        token(kind="staff", roles=roles, area=CITY, department=DEPARTMENT),
        token(),
        token(kind="system", scope=SCOPES, area=CITY, department=DEPARTMENT),
    ]


def json_doors(world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Operations with a JSON body: method, path with some object, the body's schema."""
    for method, path, operation in world.operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            holding = holding_of(path)
            params = world.things[holding.kind][0].params if holding else {}
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            yield method, path.format(**params), world.document["components"]["schemas"][name]


async def send(
    world: World, method: str, path: str, content: bytes, token: TokenFactory
) -> httpx.Response:
    """Sent by one whom the door lets in."""
    answers: list[httpx.Response] = []
    for headers in (*everybody(token), world.people["peer"]):
        extra = {"Idempotency-Key": "bad", "If-Match": '"1"', "content-type": "application/json"}
        answers.append(
            await world.client.request(method, path, content=content, headers={**headers, **extra})
        )
        if answers[-1].status_code not in {401, 403}:
            break
    return answers[-1]


async def test_every_door_refuses_bad_bodies_and_stores_nothing(
    world: World, token: TokenFactory
) -> None:
    before = await counts(world.client.database)

    for method, path, schema in json_doors(world):

        async def refused(
            content: bytes, status: int = 400, door: tuple[str, str] = (method, path)
        ) -> list[str]:
            return problem(await send(world, *door, content, token), status)

        for content in (*NOT_JSON, *NO_OBJECT):
            assert await refused(content), f"{method} {path} {content[:20]!r}"
        assert {"colour", "shade"} <= set(await refused(b'{"colour": 1, "shade": 2}')), (
            f"{method} {path}"
        )
        wrong = {name: {"planted": {"deep": [None]}} for name in schema["properties"]}
        named = {re.split(r"[.[]", name)[0] for name in await refused(orjson.dumps(wrong))}
        # A map takes any object; all other fields are told at once.
        assert named >= {
            n for n, part in schema["properties"].items() if part.get("type") != "object"
        }, path
        if not path.endswith("/imports"):
            big = b'{"text": "' + b"x" * world.client.app.state.settings.max_body_bytes + b'"}'
            assert await refused(big, 413) == ["body"], f"{method} {path}"

    assert await counts(world.client.database) == before


async def test_changes_need_the_etag_that_was_read(world: World) -> None:
    before = await counts(world.client.database)
    for method, path, operation in world.operations():
        asked = any(
            parameter["name"].lower() == "if-match" for parameter in operation.get("parameters", ())
        )
        holding = holding_of(path)
        if asked and holding:
            knocker = Knocker(world, method, path)
            params = world.things[holding.kind][0].params
            statuses: dict[str, set[int]] = {}
            for name, tag in (
                ("missing", None),
                ("stale", '"999"'),
                ("weak", 'W/"1"'),
                ("bare", "1"),
                ("any", "*"),
            ):
                answers = [
                    await knocker.knock(who, params, tag) for who in sorted(holding.rightful)
                ]
                statuses[name] = {answer.status_code for answer in answers} - {403, 404}
            wanted = {"missing": {428}, "stale": {412}, "weak": {400}, "bare": {400}, "any": {400}}
            assert statuses == wanted, f"{method} {path}"

    assert await counts(world.client.database) == before


def staff(**changes: Any) -> dict[str, Any]:
    values = {
        "username": "bad.codes",
        "name": "次仁",
        "area_code": CITY,
        "department_code": "D1",
        "roles": ["leader"],
    }
    return {**values, **changes}


def document(**changes: Any) -> dict[str, Any]:
    return {**a_document().model_dump(mode="json"), **changes}


BAD_CODES: list[tuple[str, str, str, Any, list[str]]] = [
    ("identity", "POST", "sms-codes", {"phone": "1398900123"}, ["phone"]),
    (
        "identity",
        "POST",
        "verifications",
        {"name": " ", "id_number": "540102199001010012", "id_valid_until": "2040-13-01"},
        ["name", "id_number", "id_valid_until"],
    ),
    (
        "identity",
        "POST",
        "verifications",
        {"name": "央金", "id_number": "540102199002300011", "id_valid_until": "2040-01-01"},
        ["id_number"],
    ),
    (
        "identity",
        "POST",
        "staff",
        staff(area_code="54010", roles=["king"]),
        ["area_code", "roles[0]"],
    ),
    (
        "identity",
        "POST",
        "staff",
        staff(department_code="D 1", username="a"),
        ["username", "department_code"],
    ),
    (
        "matters",
        "PUT",
        "directory",
        {"areas": [{"code": "5401", "name": {"zh": "x"}}]},
        ["areas[0].code"],
    ),
    ("matters", "POST", "drafts", document(area_code="54", type="77"), ["area_code", "type"]),
    (
        "cases",
        "POST",
        "tracking",
        {"number": "12", "phone_last4": "abcd"},
        ["number", "phone_last4"],
    ),
]


@pytest.mark.parametrize(("service", "method", "path", "body", "fields"), BAD_CODES)
async def test_bad_codes_are_named_together(
    client_of: ClientFactory,
    token: TokenFactory,
    service: str,
    method: str,
    path: str,
    body: Any,
    fields: list[str],
) -> None:
    client = await client_of(service, development=True)
    before = await counts(client.database)
    answers = [
        await client.request(
            method, f"/api/v1/{service}/{path}", json=body, headers={**who, "Idempotency-Key": "k"}
        )
        for who in everybody(token)[:2]
    ]

    answer = next(answer for answer in answers if answer.status_code not in {401, 403})

    assert sorted(problem(answer, 400)) == sorted(fields)
    assert await counts(client.database) == before


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (
            {"id_number": "540102199001010012", "phone": "12"},
            ["applicant.id_number", "applicant.phone"],
        ),
        ({"id_number": "5401021990010100", "name": ""}, ["applicant.id_number", "applicant.name"]),
        ({"kind": "organisation", "id_number": "91540100MA6T00000I"}, ["applicant.id_number"]),
        ({"kind": "organisation", "id_number": "11540100MB0Q01904X"}, ["applicant.id_number"]),
        ({"kind": "ghost"}, ["applicant.kind"]),
    ],
)
async def test_bad_applicant_is_named_together_with_every_other_fault(
    stack: StackFixture, changes: dict[str, str], fields: list[str]
) -> None:
    good = await stack.application(stack.citizen)
    before = await counts(stack.client.database)

    answer = await stack.post(
        {**good, "guide_digest": "none", "applicant": {**APPLICANT, **changes}}, stack.citizen
    )

    assert sorted(problem(answer, 400)) == [*fields, "guide_digest"]
    assert await counts(stack.client.database) == before


async def chunks(content: bytes, size: int = 65536) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "image/jpeg"])
@pytest.mark.parametrize(
    "content", [b"MZ\x90\x00 program", b"<script>alert(1)</script>", b"PK\x03\x04 archive", b"%PDX"]
)
async def test_mislabelled_upload_is_refused_and_not_kept(
    stack: StackFixture, tmp_path: Path, kind: str, content: bytes
) -> None:
    before = await counts(stack.client.database)

    answer = await stack.client.post(
        "/api/v1/cases/uploads", content=content, headers={**stack.citizen, "content-type": kind}
    )

    assert problem(answer, 400) == ["body"]
    assert answer.json()["errors"][0]["rule"] == "media_type"
    assert await counts(stack.client.database) == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_chunked_upload_is_taken_whole_and_refused_over_the_limit(
    stack: StackFixture, tmp_path: Path
) -> None:
    taken = await stack.client.post(
        "/api/v1/cases/uploads", content=chunks(PDF, 5), headers=stack.citizen
    )
    before = await counts(stack.client.database)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    refused = await stack.client.post(
        "/api/v1/cases/uploads", content=chunks(PDF + bytes(MAX_FILE)), headers=stack.citizen
    )

    assert (taken.status_code, taken.json()["size"]) == (201, len(PDF))
    assert problem(refused, 413) == ["body"]
    assert await counts(stack.client.database) == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == files


@pytest.mark.parametrize(
    ("path", "content"),
    [("/api/v1/cases/uploads", PDF), ("/api/v1/cases/applications", b'{"matter_id": "018f')],
)
async def test_truncated_body_stores_nothing(
    stack: StackFixture, tmp_path: Path, path: str, content: bytes
) -> None:
    before = await counts(stack.client.database)

    await cut_off(stack.client, path, content, stack.citizen)

    assert await counts(stack.client.database) == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert (await stack.client.get("/healthz")).status_code == 200


async def cut_off(client: ServiceClient, path: str, content: bytes, headers: Headers) -> None:
    """A request whose connection ends in the middle of its body."""
    said = [
        {"type": "http.request", "body": content, "more_body": True},
        {"type": "http.disconnect"},
    ]
    named = {
        **headers,
        "Idempotency-Key": "cut",
        "content-length": "100000",
        "content-type": "application/json",
    }
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }

    async def receive() -> dict[str, Any]:
        return said.pop(0) if len(said) > 1 else said[0]

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 400) >= 400

    await client.app(scope, receive, send)

"""Whoever has no business with an object learns nothing of it.

Not its data, and not even whether it exists.

The operations come from each service's OpenAPI. One that is new is swept without being named; when
the sweep cannot build what it needs, the test fails and says what to add to
`tests/security/world.py`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import HealthCheck, Phase, find, settings

from deploy import docs
from deploy.embedded import SERVICES
from gateway.routes import find_route
from services.cases.case_file import queries
from shared.errors import PROBLEM_TYPE, ForbiddenError, NotFoundError
from shared.http.dependencies import ReadSession
from shared.security.auth import CurrentCaller
from tests.builders.matters import a_document
from tests.cases.conftest import StackFixture
from tests.conftest import ClientFactory, TokenFactory
from tests.contracts.problem_texts import text_faults
from tests.matters.conftest import Keeper
from tests.security.world import (
    BODIES,
    BODY_IDS,
    HOLDINGS,
    PHONE,
    Thing,
    World,
    build_world,
    holding_of,
)

REFUSALS = {401, 403, 404}
MISSING = UUID("018f0000-0000-7000-8000-000000000000")
FIRST = settings(
    max_examples=1,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def is_public(method: str, path: str) -> bool:
    """By nature, as the gateway's table says."""
    route = find_route(method, path=re.sub("{[^}]+}", "x", path))
    return route is not None and route.public


def smallest(world: World, method: str, path: str) -> Any:
    """The smallest request that the document allows."""
    return find(world.schema[path][method].as_strategy(), lambda _case: True, settings=FIRST)


def smallest_body(world: World, method: str, path: str) -> Any:
    if f"{method} {path}" in BODIES:
        return BODIES[f"{method} {path}"]
    has_body = "requestBody" in world.document["paths"][path][method.lower()]
    return smallest(world, method, path).body if has_body else None


def smallest_query(world: World, path: str) -> dict[str, Any]:
    """With her own phone where one is asked for."""
    query = dict(smallest(world, "GET", path).query)
    return {name: PHONE if name == "phone" else value for name, value in query.items()}


class Knocker:
    """Sends one operation as anybody, at any object."""

    def __init__(self, world: World, method: str, path: str) -> None:
        self.world = world
        self.method = method
        self.path = path
        self.body = smallest_body(world, method, path)

    async def knock(
        self, who: str, params: dict[str, str], tag: str | None = '"1"'
    ) -> httpx.Response:
        headers = {
            "idempotency-key": "sweep",
            "x-request-id": "sweep-request",
            "accept-language": "zh-CN",
        }
        headers |= {} if tag is None else {"if-match": tag}
        sent: dict[str, Any] = {} if self.body is None else {"json": self.body}
        url = self.path.format(**params)
        answer = await self.world.client.request(
            self.method, url, headers={**headers, **self.world.people[who]}, **sent
        )
        if answer.headers.get("content-type") == PROBLEM_TYPE:
            assert text_faults(answer.json()) == []
        return answer


def without_id(answer: httpx.Response, wanted: str) -> tuple[int, str]:
    return answer.status_code, answer.text.replace(wanted, "{id}")


def id_operations(world: World) -> Iterator[tuple[str, str]]:
    return ((method, path) for method, path, _ in world.operations() if "{" in path)


@pytest.fixture(params=SERVICES)
async def world(
    request: pytest.FixtureRequest, client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> World:
    return await build_world(request.param, client_of, token, tmp_path)


async def test_only_the_rightful_reach_an_object_or_learn_that_it_is_there(world: World) -> None:
    for method, path in id_operations(world):
        await sweep(world, method, path)


async def sweep(world: World, method: str, path: str) -> None:
    holding = holding_of(path)
    assert holding, (
        f"tests/security/world.py: say in HOLDINGS which object {method} {path} reaches,"
        " and who may"
    )
    knocker, things = Knocker(world, method, path), world.things[holding.kind]
    if not is_public(method, path):
        for who in (who for who in world.people if who not in holding.rightful):
            await refuse(knocker, who, things)
    # Without this the sweep could knock at doors that open for nobody.
    reached = [
        (await knocker.knock(who, thing.params)).status_code
        for who in holding.rightful
        for thing in things
    ]
    assert set(reached) - REFUSALS - {400, 405}, f"{method} {path}: nobody reaches it ({reached})"


async def refuse(knocker: Knocker, who: str, things: list[Thing]) -> None:
    """Nothing of the objects is told, and one that is there is refused as one that is not."""
    refusals: set[tuple[int, str]] = set()
    for thing in things:
        answer = await knocker.knock(who, thing.params)
        note = f"{knocker.method} {knocker.path} as {who}: {answer.status_code} {answer.text}"
        assert answer.status_code in REFUSALS, f"{note}\n(if it is 400: add a body to BODIES)"
        assert not any(mark in answer.text for mark in thing.marks), note
        nothing = await knocker.knock(who, {**thing.params, thing.id_name: thing.nobody})
        refusals |= {
            without_id(answer, thing.params[thing.id_name]),
            without_id(nothing, thing.nobody),
        }
    assert len(refusals) == 1, (
        f"{knocker.method} {knocker.path} tells {who} what is there: {refusals}"
    )


async def test_no_list_shows_an_object_to_an_outsider(world: World) -> None:
    for method, path, _ in world.operations():
        if method != "GET" or "{" in path:
            continue
        query = smallest_query(world, path)
        for who, headers in world.people.items():
            shown = (await world.client.get(path, params=query, headers=headers)).text
            for holding in (holding for holding in HOLDINGS if who not in holding.rightful):
                marks = [
                    mark for thing in world.things.get(holding.kind, ()) for mark in thing.marks
                ]
                assert not any(mark in shown for mark in marks), (
                    f"{path} shows a {holding.kind} to {who}: {shown}"
                )


@pytest.mark.parametrize("service", SERVICES)
async def test_anonymous_callers_are_sent_to_sign_in(
    service: str, client_of: ClientFactory
) -> None:
    client = await client_of(service, development=True)
    for path, methods in client.app.openapi()["paths"].items():
        url = re.sub("{[^}]+}", str(MISSING), path)
        for method in methods:
            if not is_public(method.upper(), path):
                assert (await client.request(method, url)).status_code == 401, f"{method} {path}"


def uuid_fields(schema: Any, document: dict[str, Any], name: str = "") -> Iterator[str]:
    """Names of all fields of a schema that hold a UUID, however deep."""
    if "$ref" in schema:
        yield from uuid_fields(
            document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, name
        )
    if schema.get("format") == "uuid":
        yield name
    for part in [*schema.get("anyOf", ()), *schema.get("allOf", ()), schema.get("items", {})]:
        yield from uuid_fields(part, document, name) if part else ()
    for field, part in schema.get("properties", {}).items():
        yield from uuid_fields(part, document, field)


@pytest.mark.parametrize("service", SERVICES)
def test_every_id_in_a_body_or_query_is_accounted_for(service: str) -> None:
    document = docs.openapi(service)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = [
                content["schema"]
                for content in operation.get("requestBody", {}).get("content", {}).values()
            ]
            queries = {
                p["name"]: p["schema"]
                for p in operation.get("parameters", ())
                if p["in"] == "query"
            }
            for name in uuid_fields({"allOf": bodies, "properties": queries}, document):
                entry = f"{method.upper()} {path} {name}"
                assert entry in BODY_IDS, (
                    f"tests/security/world.py: say in BODY_IDS which test holds {entry}"
                )


async def test_upload_of_another_is_as_one_that_is_not_there(
    stack: StackFixture, token: TokenFactory
) -> None:
    other = token()
    foreign = (await stack.upload(other)).json()["id"]
    body = await stack.application(stack.citizen)
    case = await stack.do(
        await stack.apply(),
        "correction-requests",
        stack.officer("window_clerk"),
        {"items": [{"text": "缺件"}]},
    )
    answers: list[list[tuple[int, str]]] = []
    for upload in (foreign, str(MISSING)):
        given = [{"code": material["code"], "upload_id": upload} for material in body["materials"]]
        headers = {**stack.citizen, "Idempotency-Key": upload, "x-request-id": "sweep-request"}
        applied = await stack.client.post(
            "/api/v1/cases/applications", json={**body, "materials": given}, headers=headers
        )
        corrected = await stack.act(case, "corrections", headers, {"materials": given})
        answers.append([without_id(applied, upload), without_id(corrected, upload)])

    assert answers[0] == answers[1]
    assert [status for status, _ in answers[0]] == [400, 400]
    assert all("own_upload" in text for _, text in answers[0])


async def test_guide_of_an_unpublished_matter_is_as_one_that_is_not_there(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    world = await build_world("matters", client_of, token, tmp_path)
    keeper = Keeper(world.client, world.people["department"])
    draft = (await keeper.draft(a_document(code=None, local_code="L-77"))).json()
    answers: set[tuple[int, str]] = set()
    for matter in (draft["id"], str(MISSING)):
        for method, path, sent in (
            ("POST", "/api/v1/matters/personal-guides", {"json": {"matter_id": matter}}),
            ("GET", f"/api/v1/matters/catalogue/{matter}", {}),
        ):
            answer = await world.client.request(
                method, path, headers={"x-request-id": "sweep-request"}, **sent
            )
            answers.add(without_id(answer, matter))

    assert {status for status, _ in answers} == {404}
    assert len(answers) == 2


planted = APIRouter(prefix="/api/v1/cases")


@planted.get("/files/{case_id}/planted-leak")
async def _leak(case_id: UUID, session: ReadSession, _caller: CurrentCaller) -> dict[str, str]:
    return {"name": (await queries.get_case(session, case_id)).applicant_name}


@planted.get("/files/{case_id}/planted-hint")
async def _hint(case_id: UUID, session: ReadSession, caller: CurrentCaller) -> None:
    case = await queries.get_case(session, case_id)
    if str(case.account_id) != caller.subject:
        raise ForbiddenError("本办件属于他人")


@planted.get("/files/{case_id}/planted-wall")
async def _wall(case_id: UUID, _caller: CurrentCaller) -> None:
    raise NotFoundError(f"没有办件 {case_id}")


@planted.get("/planted/{thing_id}")
async def _unknown(thing_id: UUID, _caller: CurrentCaller) -> str:
    return str(thing_id)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("files/{case_id}/planted-leak", "德吉措姆"),
        ("files/{case_id}/planted-hint", "tells administrator what is there"),
        ("files/{case_id}/planted-wall", "nobody reaches it"),
        (
            "planted/{thing_id}",
            "say in HOLDINGS which object GET /api/v1/cases/planted/{thing_id} reaches",
        ),
    ],
)
async def test_sweep_finds_a_planted_fault(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path, path: str, words: str
) -> None:
    world = await build_world("cases", client_of, token, tmp_path, planted)

    with pytest.raises(AssertionError, match=re.escape(words)):
        await sweep(world, "GET", f"/api/v1/cases/{path}")

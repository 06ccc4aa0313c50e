"""schemathesis against every service's OpenAPI, in process.

No answer may differ from what the document promises.

Hypothesis is synchronous and the app lives on this test's loop, so the search runs in a thread and
hands each request over.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from fastapi import FastAPI, HTTPException, Response
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.embedded import SERVICES
from services.cases.applications.schemas import UploadRead
from shared.errors import PROBLEM_TYPE
from shared.http.app import PROBLEM_SCHEMA
from tests.conftest import ClientFactory, TokenFactory
from tests.contracts.problem_texts import text_faults
from tests.security.world import World, build_world, holding_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
CALLERS = ("administrator", "owner", "department", "system", "peer")
FILES = (
    "application/pdf",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/x-ndjson",
    "image/jpeg",
    "image/png",
    "text/csv",
)
EXAMPLES = {GenerationMode.POSITIVE: 15, GenerationMode.NEGATIVE: 8}


@schemathesis.serializer(*FILES)
def send_as_it_is(_context: Any, value: Any) -> bytes:
    """Files are bytes, whatever their type."""
    return value if isinstance(value, bytes) else str(value).encode()


def search(examples: int) -> settings:
    """Always the same examples, so that a red run is red again."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def check_problem(answer: httpx.Response) -> None:
    """Every refusal is a problem document with all its members."""
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM_TYPE
        document = answer.json()
        assert set(PROBLEM_SCHEMA["required"]) <= set(document)
        assert document["status"] == answer.status_code
        assert document["trace_id"] == answer.headers["x-request-id"]
        assert answer.headers["content-language"] == "zh"
        assert text_faults(document) == []


Send = Callable[[Any, str], httpx.Response]


def cases_of(operation: Any, mode: GenerationMode, world: World) -> st.SearchStrategy[Any]:
    """Requests on objects that are there and on ones that are not."""
    holding = holding_of(operation.path)
    known = [thing.params for thing in world.things[holding.kind]] if holding else []
    paths = [
        None,
        *({n: v for n, v in params.items() if f"{{{n}}}" in operation.path} for params in known),
    ]
    return st.one_of(
        [operation.as_strategy(generation_mode=mode, path_parameters=path) for path in paths]
    )


def examine(world: World, operation: Any, mode: GenerationMode, send: Send) -> None:
    """Search one operation; raises schemathesis' own report with a curl command."""

    @search(EXAMPLES[mode])
    @given(case=cases_of(operation, mode, world), caller=st.sampled_from(CALLERS))
    def run(case: Any, caller: str) -> None:
        answer = send(case, caller)
        case.validate_response(answer, checks=CHECKS)
        check_problem(answer)

    run()


def sender(world: World) -> Send:
    """Hands a request from the searching thread to the loop of the app."""
    loop = asyncio.get_running_loop()

    def send(case: Any, caller: str) -> httpx.Response:
        request = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
        headers = {**request.headers, **world.people[caller], "Accept-Language": "zh-CN"}
        answer = world.client.request(
            request.method or "", request.url or "", headers=headers, content=request.body
        )
        return asyncio.run_coroutine_threadsafe(answer, loop).result(30)

    return send


def operations_of(schema: Any) -> list[Any]:
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("service", SERVICES)
async def test_service_answers_as_its_document_promises(
    service: str, client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    world = await build_world(service, client_of, token, tmp_path)
    operations, send = operations_of(world.schema), sender(world)

    def examine_all() -> None:
        for operation in operations:
            examine(world, operation, GenerationMode.POSITIVE, send)
            if operation.body or any(operation.iter_parameters()):
                examine(world, operation, GenerationMode.NEGATIVE, send)

    assert len(operations) == len(list(world.operations()))
    await asyncio.to_thread(examine_all)


async def _crash() -> None:
    raise RuntimeError("planted")


async def _undocumented() -> None:
    raise HTTPException(418)


async def _other_form() -> Response:
    return Response("{}", media_type="application/json")


async def _other_type() -> Response:
    return Response("plain", media_type="text/plain")


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        (_crash, "ServerError"),
        (_undocumented, "UndefinedStatusCode"),
        (_other_form, "JsonSchemaError"),
        (_other_type, "UndefinedContentType"),
    ],
)
async def test_broken_promise_is_found(
    client_of: ClientFactory, token: TokenFactory, tmp_path: Path, endpoint: Any, named: str
) -> None:
    world = await build_world("assessment", client_of, token, tmp_path)
    planted = FastAPI(openapi_url=None)
    planted.add_api_route("/planted", endpoint, response_model=UploadRead)
    world.client.app.router.routes.extend(planted.router.routes)
    (operation,) = operations_of(schemathesis.openapi.from_dict(planted.openapi()))

    with pytest.raises(FailureGroup) as found:
        await asyncio.to_thread(examine, world, operation, GenerationMode.POSITIVE, sender(world))

    assert named in {type(failure).__name__ for failure in found.value.exceptions}

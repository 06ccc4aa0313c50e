"""The gateway's own pages.

Health, metrics, the merged OpenAPI, the API catalogue, and the pages that people open.
"""

import re
from collections.abc import Iterable
from typing import Any, get_args

import httpx
import pytest
from openapi_spec_validator import validate

from deploy.docs import openapi
from deploy.processes import SERVICES
from gateway.documents import merge
from gateway.main import create_gateway
from gateway.pages import FOLDER, PAGES
from gateway.routes import find_route
from gateway.settings import Settings
from services.exchange.events.model.subscription import SubscriptionState
from services.exchange.region.model.reconciliation import RunState
from services.licenses.model.types import TypeDocument
from services.licenses.schemas.checks import SignatureRead, ValidityRead
from services.ratings.publication.model import ModerationReason
from services.ratings.rating.model.root_causes import RootCause
from services.ratings.tickets.model.states import TicketState
from shared.events.exchange import Resource
from tests.builders.tokens import TestKeys
from tests.conftest import ClientFactory, TokenFactory
from tests.gateway.conftest import GateFactory, serving


async def test_healthy_and_nothing_internal_is_reachable(gate: GateFactory) -> None:
    g = await gate()

    assert (await g.client.get("/healthz")).json()["service"] == "gateway"
    assert (await g.client.get("/internal/revocations")).status_code == 404


async def test_metrics_tell_service_status_and_time(gate: GateFactory, token: TokenFactory) -> None:
    g = await gate()
    name = 'tongban_gateway_request_seconds_count{service="%s",status="%s"}'
    wanted = [name % pair for pair in (("matters", 200), ("cases", 502), ("none", 404))]

    async def counts() -> list[float]:
        text = (await g.client.get("/metrics")).text
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return [float(lines.get(key, 0)) for key in wanted]

    before = await counts()
    for path in ("/api/v1/matters/catalogue", "/api/v1/cases/files", "/api/v1/nothing"):
        _ = await g.client.get(path, headers=token())

    assert [after - old for after, old in zip(await counts(), before, strict=True)] == [1, 1, 1]


async def test_merged_openapi_of_services_here_and_elsewhere_is_valid_and_names_who_is_away(
    client_of: ClientFactory, keys: TestKeys
) -> None:
    identity, matters = await client_of("identity"), await client_of("matters")
    # Made once and kept, which takes seconds here, as long as the gateway waits.
    own = {**identity.app.openapi()["paths"], **matters.app.openapi()["paths"]}
    async with serving(matters.app) as elsewhere:
        upstreams = {
            "identity": identity.app,
            "matters": f"http://127.0.0.1:{elsewhere}",
            "cases": "http://127.0.0.1:1",
        }
        settings = Settings(jwks_url="http://127.0.0.1:1/", revocations_url="http://127.0.0.1:1/")
        gateway = create_gateway(settings, upstreams=upstreams, verifier=keys.verifier())
        async with (
            serving(gateway) as port,
            httpx.AsyncClient(timeout=20, trust_env=False) as client,
        ):
            answer = await client.get(f"http://127.0.0.1:{port}/openapi.json")

    document = answer.json()
    validate(document)
    assert (document["openapi"], document["info"]["x-unavailable"]) == ("3.1.0", ["cases"])
    assert set(document["paths"]) == set(own)
    assert {"identity.Tokens", "identity.Problem", "matters.Problem"} <= set(
        document["components"]["schemas"]
    )


def test_equal_names_of_two_services_do_not_meet() -> None:
    def part(kind: str) -> dict[str, object]:
        answer = {
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}
        }
        paths = {f"/{kind}": {"get": {"responses": {"200": answer}}}}
        return {
            "paths": paths,
            "components": {"schemas": {"Page": {"type": kind}}, "securitySchemes": {"b": {}}},
        }

    merged = merge({"one": part("string"), "two": part("integer"), "three": None})

    assert merged["components"]["schemas"] == {
        "one.Page": {"type": "string"},
        "two.Page": {"type": "integer"},
    }
    assert '"#/components/schemas/two.Page"' in str(merged["paths"]["/integer"]).replace("'", '"')
    assert (merged["info"]["x-unavailable"], list(merged["components"]["securitySchemes"])) == (
        ["three"],
        ["b"],
    )


async def test_api_catalog_lists_every_service(gate: GateFactory) -> None:
    g = await gate(public_url="https://lhasa.example/")

    answer = await g.client.get("/.well-known/api-catalog")
    head = await g.client.head("/.well-known/api-catalog")
    first, *apis = answer.json()["linkset"]

    assert answer.headers["content-type"].startswith("application/linkset+json")
    assert 'rel="api-catalog"' in head.headers["link"]
    assert first["anchor"] == "https://lhasa.example/.well-known/api-catalog"
    assert [item["href"] for item in first["item"]] == [api["anchor"] for api in apis]
    assert apis[0]["service-desc"][0]["href"] == "https://lhasa.example/api/v1/cases/openapi.json"


@pytest.mark.parametrize(
    "path",
    ["/docs", "/rate/AbC", "/check", f"/check/{'A' * 40}", "/ratings", "/exchange"],
    ids=lambda path: path[:8],
)
async def test_page_needs_no_other_origin_and_no_inline_script(
    gate: GateFactory, path: str
) -> None:
    g = await gate()

    page = await g.client.get(path)
    assets = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    answers = [await g.client.get(asset) for asset in assets if asset.startswith("/static/")]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert all(asset.startswith("/") and not asset.startswith("//") for asset in assets)
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert {answer.headers["content-type"].split(";")[0] for answer in answers} == {
        "text/css",
        "text/javascript",
    }
    for answer in (page, *answers):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"
        )
        assert "unsafe" not in policy
        assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == (
            "nosniff",
            "no-referrer",
        )
        assert not re.search(
            r"https?://|@import|url\(", answer.text.replace("http://www.w3.org/2000/svg", "")
        )
        assert not re.search(
            r"<script>|<style|\son[a-z]+=\"|style=|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(",
            answer.text,
        )


@pytest.mark.parametrize("page", sorted(set(PAGES.values())))
def test_every_field_of_a_page_has_a_label_and_every_name_in_its_script_is_in_it(page: str) -> None:
    html = (FOLDER / page).read_text()
    own = (FOLDER / page.replace(".html", ".js")).read_text()
    ids = re.findall(r'\sid="([^"]+)"', html)

    for field in re.findall(r"<(?:input|select|textarea)[^>]*>", html):
        name = re.search(r'id="([^"]+)"', field)
        assert name is not None
        labelled = f'for="{name[1]}"' in html or re.search(
            rf"<label[^>]*>[^<]*{re.escape(field)}", html
        )
        assert labelled, field
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'getElementById\("([^"]+)"\)', own)) <= set(ids)
    for part in ('<html lang="zh-CN">', "<h1>", 'role="status"', "<main", "<noscript>"):
        assert part in html


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return merge({service: openapi(service) for service in SERVICES})["paths"]


CALLS = re.compile(r'(?:call\("([A-Z]+)", |read\(|address\(|href=)"(/api/v1/[^"?]+)"')
"""An operation as a page asks for it; without a method it is read."""


def test_pages_ask_only_for_operations_of_the_contract(contract: dict[str, Any]) -> None:
    asked = {
        (file.name, method or "GET", path)
        for file in FOLDER.iterdir()
        for method, path in CALLS.findall(file.read_text())
    }
    named = {
        (file.name, path)
        for file in FOLDER.iterdir()
        for path in re.findall(r"/api/[^\s\"'`?]+", file.read_text())
    }

    assert len(asked) > 12
    assert named == {(name, path) for name, _method, path in asked}
    assert [one for one in asked if one[1].lower() not in contract.get(one[2], {})] == []


def test_pages_for_everybody_ask_only_for_what_needs_no_token() -> None:
    for name in ("check.js", "rate.js", "ratings.js"):
        for method, path in CALLS.findall((FOLDER / name).read_text()):
            route = find_route(method or "GET", path=re.sub(r"\{\w+\}", "x", path))
            assert route is not None
            assert route.public, path


def test_only_the_shared_script_and_the_interactive_page_send_requests() -> None:
    senders = {
        file.name
        for file in FOLDER.glob("*.js")
        if re.search(r"fetch\(|XMLHttp|sendBeacon", file.read_text())
    }

    assert senders == {"page.js", "docs.js"}


def _keys(file: str, name: str) -> set[str]:
    """Names of an object written out in a script."""
    found = re.search(rf"const {name} = {{(.*?)\n?}};", (FOLDER / file).read_text(), re.DOTALL)
    assert found is not None
    return set(re.findall(r"(?:^|[\s,{])(\w+): [\"\[]", found[1]))


@pytest.mark.parametrize(
    ("file", "name", "values"),
    [
        ("page.js", "CAUSES", tuple(RootCause)),
        ("rate.js", "STATES", tuple(TicketState)),
        ("ratings.js", "HIDDEN", set(ModerationReason) - {"restored"}),
        ("check.js", "SIGNATURE", get_args(SignatureRead.model_fields["result"].annotation)),
        ("check.js", "VALIDITY", get_args(ValidityRead.model_fields["result"].annotation)),
        ("check.js", "TRUST", get_args(TypeDocument.model_fields["trust"].annotation)),
        ("exchange.js", "SUBSCRIPTION", tuple(SubscriptionState)),
        ("exchange.js", "RUN", tuple(RunState)),
        ("exchange.js", "RESOURCES", get_args(Resource)),
    ],
)
def test_pages_have_words_for_every_value_of_the_contract(
    file: str, name: str, values: Iterable[str]
) -> None:
    assert _keys(file, name) == set(values)


@pytest.mark.parametrize("path", ["/static/../main.py", "/static/secret", "/docs/", "/redoc"])
async def test_nothing_else_is_served(gate: GateFactory, path: str) -> None:
    assert (await (await gate()).client.get(path)).status_code in {307, 404}

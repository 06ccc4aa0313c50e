"""The gateway's own pages: health, metrics, the merged OpenAPI, its interactive page, the API catalogue."""

import re

import httpx
import pytest
from openapi_spec_validator import validate

from gateway.documents import merge
from gateway.main import create_gateway
from gateway.settings import Settings
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
    async with serving(matters.app) as elsewhere:
        upstreams = {
            "identity": identity.app,
            "matters": f"http://127.0.0.1:{elsewhere}",
            "cases": "http://127.0.0.1:1",
        }
        settings = Settings(jwks_url="http://127.0.0.1:1/", revocations_url="http://127.0.0.1:1/")
        gateway = create_gateway(settings, upstreams=upstreams, verifier=keys.verifier())
        async with serving(gateway) as port, httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/openapi.json")

    document = answer.json()
    validate(document)
    own = {**identity.app.openapi()["paths"], **matters.app.openapi()["paths"]}
    assert (document["openapi"], document["info"]["x-unavailable"]) == ("3.1.0", ["cases"])
    assert set(document["paths"]) == set(own)
    assert {"identity.Tokens", "identity.Problem", "matters.Problem"} <= set(document["components"]["schemas"])


def test_equal_names_of_two_services_do_not_meet() -> None:
    def part(kind: str) -> dict[str, object]:
        answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}}
        paths = {f"/{kind}": {"get": {"responses": {"200": answer}}}}
        return {"paths": paths, "components": {"schemas": {"Page": {"type": kind}}, "securitySchemes": {"b": {}}}}

    merged = merge({"one": part("string"), "two": part("integer"), "three": None})

    assert merged["components"]["schemas"] == {"one.Page": {"type": "string"}, "two.Page": {"type": "integer"}}
    assert '"#/components/schemas/two.Page"' in str(merged["paths"]["/integer"]).replace("'", '"')
    assert (merged["info"]["x-unavailable"], list(merged["components"]["securitySchemes"])) == (["three"], ["b"])


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


async def test_interactive_page_needs_no_other_origin_and_no_inline_script(gate: GateFactory) -> None:
    g = await gate()

    page = await g.client.get("/docs")
    assets = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    answers = {path: await g.client.get(path) for path in assets if path.startswith("/static/")}

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert all(path.startswith("/") and not path.startswith("//") for path in assets)
    assert [answer.status_code for answer in answers.values()] == [200, 200]
    for text in (page.text, *(answer.text for answer in answers.values())):
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
    assert not re.search(r"<script>|onclick|style=|innerHTML|eval\(", page.text + answers["/static/docs.js"].text)


@pytest.mark.parametrize("path", ["/static/../main.py", "/static/secret", "/docs/", "/redoc"])
async def test_nothing_else_is_served(gate: GateFactory, path: str) -> None:
    assert (await (await gate()).client.get(path)).status_code in {307, 404}

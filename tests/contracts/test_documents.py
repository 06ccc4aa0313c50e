"""The committed contracts: valid, equal to the code, and a drift is found."""

import ast
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from deploy import docs
from deploy.embedded import SERVICES
from services.exchange.events.model.external import TABLE


@pytest.mark.parametrize("service", SERVICES)
def test_openapi_is_valid(service: str) -> None:
    validate(orjson.loads((docs.FOLDER / f"{service}.openapi.json").read_bytes()))


def test_every_fact_is_described() -> None:
    document = orjson.loads((docs.FOLDER / "events.asyncapi.json").read_bytes())

    names = {name for channel in document["channels"].values() for name in channel["messages"]}

    assert {"tongban.cases.case-decided.v1", "tongban.matters.matter-published.v1"} <= names
    assert document["channels"]["cases"]["address"] == "tongban.cases"


def test_what_peers_get_is_described_with_nothing_left_open() -> None:
    document = orjson.loads((docs.FOLDER / "exchange.asyncapi.json").read_bytes())
    messages, schemas = document["components"]["messages"], document["components"]["schemas"]

    broken = [pointer for pointer in references(document) if resolve(document, pointer) is None]

    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]["webhook"]["messages"]) | {"page"} == set(messages)
    assert {external.name("lhasa") for external in TABLE} | {"page"} == set(messages)
    assert all(message["summary"] for name, message in messages.items() if name != "page")
    assert broken == []
    for schema in [*schemas.values(), *(message["payload"] for message in messages.values())]:
        Draft202012Validator.check_schema(schema)


def references(part: Any) -> list[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in references(value)]
    return (
        [found for value in part for found in references(value)] if isinstance(part, list) else []
    )


def resolve(document: Any, pointer: str) -> Any:
    """What a reference within the document means; None when it leads nowhere."""
    for name in pointer.removeprefix("#/").split("/"):
        document = document.get(name) if isinstance(document, dict) else None
    return document


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_that_reads_a_raw_body_describes_it(service: str) -> None:
    """A body that no parameter declares would be missing from the document.

    schemathesis and the page would not know of it either.
    """
    paths = orjson.loads((docs.FOLDER / f"{service}.openapi.json").read_bytes())["paths"]
    described = {
        o["operationId"].split("_api_v1")[0]: o.get("requestBody")
        for item in paths.values()
        for o in item.values()
    }

    raw = readers_of_raw_bodies(service)

    assert raw <= described.keys()
    assert all(described[name] for name in raw)


READS = "request.body()"


def readers_of_raw_bodies(service: str) -> set[str]:
    """Names of the endpoints in the service's routers that read the body themselves."""
    texts = (file.read_text() for file in Path("services", service).rglob("*.py"))
    functions = (
        node
        for text in texts
        if READS in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AsyncFunctionDef)
    )
    return {function.name for function in functions if READS in ast.unparse(function)}


def test_drift_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "FOLDER", tmp_path)

    written, same = docs.main([]), docs.main(["--check"])
    _ = (tmp_path / "cases.openapi.json").write_text("{}")
    drifted = docs.main(["--check"])

    assert (written, same, drifted) == (0, 0, 1)
    assert "cases.openapi.json" in capsys.readouterr().err

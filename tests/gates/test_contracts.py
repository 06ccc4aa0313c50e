"""A change that breaks a client or a consumer is named, and needs a version that allows it."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from deploy.contracts import __main__ as command
from deploy.contracts.__main__ import forbidden_changes
from deploy.contracts.changes import breaking_changes, compare_asyncapi, compare_openapi
from deploy.contracts.documents import AsyncApi, OpenApi
from deploy.errors import DeployError
from deploy.versions import CONTRACTS, KEPT_CONTRACTS, Version, current_version

Document = dict[str, Any]
Change = Callable[[Document], object]

CASES: Document = orjson.loads((CONTRACTS / "cases.openapi.json").read_bytes())
EVENTS: Document = orjson.loads((CONTRACTS / "events.asyncapi.json").read_bytes())
PEERS: Document = orjson.loads((CONTRACTS / "exchange.asyncapi.json").read_bytes())
PARSED_CASES = OpenApi.model_validate(CASES)
FILES = "/api/v1/cases/files"
ONE = f"{FILES}/{{case_id}}"
APPLY = "/api/v1/cases/applications"
ACCEPTED = "tongban.cases.case-accepted.v1"
JUDGED = "tongban.cases.records-judged.v1"
CLOSED = "cn.gov.lhasa.cases.case.closed.v1"


def schema(document: Document, name: str) -> Document:
    return document["components"]["schemas"][name]


def payload(document: Document, event: str = ACCEPTED) -> Document:
    return document["channels"]["cases"]["messages"][event]["payload"]


def peer_data(document: Document) -> Document:
    return document["components"]["messages"][CLOSED]["payload"]["allOf"][1]["properties"]["data"]


def parameter(document: Document, name: str, path: str = FILES) -> Document:
    return next(one for one in document["paths"][path]["get"]["parameters"] if one["name"] == name)


BROKEN_REST: dict[str, tuple[Change, str]] = {
    "path": (lambda d: d["paths"].pop(FILES), f"GET {FILES}: the operation is removed"),
    "method": (
        lambda d: d["paths"][APPLY].pop("post"),
        f"POST {APPLY}: the operation is removed",
    ),
    "status": (
        lambda d: d["paths"][APPLY]["post"]["responses"].pop("409"),
        f"POST {APPLY}: the response 409 is removed",
    ),
    "media type": (
        lambda d: d["paths"][APPLY]["post"]["responses"]["201"].update(content={"text/csv": {}}),
        f"POST {APPLY}: 201: the media type application/json is removed",
    ),
    "property of an answer": (
        lambda d: schema(d, "CaseRead")["properties"].pop("due_on"),
        "CaseRead.due_on: the property is removed",
    ),
    "property that may be absent": (
        lambda d: schema(d, "CaseRead")["required"].remove("due_on"),
        "CaseRead.due_on: the property may be absent now",
    ),
    "type in an answer": (
        lambda d: schema(d, "CaseRead")["properties"]["number"].update(type="integer"),
        "CaseRead.number: the type changed from string to integer",
    ),
    "format in an answer": (
        lambda d: schema(d, "CaseSummary")["properties"]["received_at"].update(format="date"),
        "CaseSummary.received_at: the type changed from string (date-time) to string (date)",
    ),
    "null in an answer": (
        lambda d: schema(d, "CaseRead")["properties"].update(
            number={"anyOf": [{"type": "string"}, {"type": "null"}]}
        ),
        "CaseRead.number: the type changed from string to null | string",
    ),
    "property in one form of a union": (
        lambda d: schema(d, "FromLicense")["properties"].pop("kind"),
        "FromLicense.kind: the property is removed",
    ),
    "required property of a request": (
        lambda d: schema(d, "Apply")["required"].append("channel"),
        "Apply.channel: the property is required now",
    ),
    "property of a request": (
        lambda d: schema(d, "Apply")["properties"].pop("channel"),
        "Apply.channel: the property is taken no longer",
    ),
    "enum value of a request": (
        lambda d: schema(d, "Apply")["properties"]["channel"]["enum"].remove("kiosk"),
        'Apply.channel: "kiosk" is taken no longer',
    ),
    "text of a request that becomes an enum": (
        lambda d: schema(d, "Apply")["properties"]["guide_digest"].update(enum=["a"]),
        'Apply.guide_digest: only "a" is taken now',
    ),
    "form of a request": (
        lambda d: schema(d, "Apply")["properties"]["materials"]["items"]["oneOf"].pop(),
        'LicensedMaterial.kind: "license" is taken no longer',
    ),
    "required parameter": (
        lambda d: parameter(d, "cursor").update(required=True),
        f"GET {FILES}: query parameter cursor: the parameter is required now",
    ),
    "new required parameter": (
        lambda d: d["paths"][FILES]["get"]["parameters"].append(
            {"name": "year", "in": "query", "required": True, "schema": {"type": "integer"}}
        ),
        f"GET {FILES}: query parameter year: the parameter is required now",
    ),
    "parameter": (
        lambda d: d["paths"][FILES]["get"].update(parameters=[]),
        f"GET {FILES}: query parameter limit: the parameter is removed",
    ),
    "type of a parameter": (
        lambda d: parameter(d, "limit")["schema"].update(type="boolean"),
        f"GET {FILES}: query parameter limit: the type changed from integer to boolean",
    ),
}
BROKEN_EVENTS: dict[str, tuple[Change, str]] = {
    "event": (
        lambda d: d["channels"]["cases"]["messages"].pop(ACCEPTED),
        f"{ACCEPTED}: the event is removed from channel cases",
    ),
    "topic": (
        lambda d: d["channels"]["cases"].update(address="tongban.files"),
        "channel cases: the address is tongban.files now, not tongban.cases",
    ),
    "property": (
        lambda d: payload(d)["properties"].pop("deemed"),
        f"{ACCEPTED}.deemed: the property is removed",
    ),
    "type": (
        lambda d: payload(d)["properties"]["deemed"].update(type="string"),
        f"{ACCEPTED}.deemed: the type changed from boolean to string",
    ),
    "property that may be absent": (
        lambda d: payload(d)["required"].remove("deemed"),
        f"{ACCEPTED}.deemed: the property may be absent now",
    ),
    "type in a definition of the payload": (
        lambda d: payload(d, JUDGED)["$defs"]["Fault"]["properties"].pop("rule"),
        "Fault.rule: the property is removed",
    ),
}
ALLOWED_REST: dict[str, Change] = {
    "path": lambda d: d["paths"].update({"/new": d["paths"][FILES]}),
    "status": lambda d: d["paths"][APPLY]["post"]["responses"].update({"418": {}}),
    "property of an answer": lambda d: schema(d, "CaseRead")["properties"].update(
        colour={"type": "string"}
    ),
    "optional property of a request": lambda d: schema(d, "Apply")["properties"].update(
        colour={"type": "string"}
    ),
    "optional parameter": lambda d: d["paths"][FILES]["get"]["parameters"].append(
        {"name": "year", "in": "query", "schema": {"type": "integer"}}
    ),
    "enum value": lambda d: schema(d, "Channel")["enum"].append("telephone"),
    "enum value of a request": lambda d: schema(d, "Apply")["properties"]["channel"]["enum"].append(
        "telephone"
    ),
    "property of a request that may be null": lambda d: schema(d, "Apply")["properties"].update(
        channel={"anyOf": [schema(d, "Apply")["properties"]["channel"], {"type": "null"}]}
    ),
    "order": lambda d: (
        schema(d, "Apply")["required"].reverse(),
        schema(d, "State")["enum"].reverse(),
        schema(d, "CaseRead")["properties"]["due_on"]["anyOf"].reverse(),
        schema(d, "Apply")["properties"]["materials"]["items"]["oneOf"].reverse(),
    ),
    "name of a variable in a path": lambda d: (
        d["paths"].update({f"{FILES}/{{id}}": d["paths"].pop(ONE)}),
        d["paths"][f"{FILES}/{{id}}"]["get"]["parameters"][0].update(name="id"),
    ),
    "schema in the place of a reference": lambda d: schema(d, "CaseRead")["properties"].update(
        channel=schema(d, "Channel")
    ),
}
ALLOWED_EVENTS: dict[str, Change] = {
    "event": lambda d: d["channels"]["cases"]["messages"].update({"new": {"payload": {}}}),
    "property": lambda d: payload(d)["properties"].update(colour={"type": "string"}),
    "enum value": lambda d: payload(d)["properties"]["channel"]["enum"].append("telephone"),
}


def changed(document: Document, change: Change) -> Document:
    planted = copy.deepcopy(document)
    _ = change(planted)
    return planted


def rest_changes(change: Change) -> list[str]:
    after = OpenApi.model_validate(changed(CASES, change))
    return list(compare_openapi(PARSED_CASES, after))


def event_changes(change: Change, document: Document = EVENTS) -> list[str]:
    after = AsyncApi.model_validate(changed(document, change))
    return list(compare_asyncapi(AsyncApi.model_validate(document), after))


@pytest.mark.parametrize("name", BROKEN_REST)
def test_breaking_change_of_a_service_is_named(name: str) -> None:
    change, expected = BROKEN_REST[name]

    found = rest_changes(change)

    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize("name", BROKEN_EVENTS)
def test_breaking_change_of_an_event_is_named(name: str) -> None:
    change, expected = BROKEN_EVENTS[name]

    assert event_changes(change) == [expected]


def test_breaking_change_of_what_peers_get_is_named() -> None:
    data = f"{CLOSED}.data"

    assert event_changes(lambda d: peer_data(d)["properties"].pop("result"), PEERS) == [
        f"{data}.result: the property is removed"
    ]
    assert event_changes(lambda d: schema(d, "envelope")["properties"].pop("subject"), PEERS)


@pytest.mark.parametrize("name", ALLOWED_REST)
def test_addition_to_a_service_breaks_nothing(name: str) -> None:
    assert rest_changes(ALLOWED_REST[name]) == []


@pytest.mark.parametrize("name", ALLOWED_EVENTS)
def test_addition_to_an_event_breaks_nothing(name: str) -> None:
    assert event_changes(ALLOWED_EVENTS[name]) == []


def test_schema_that_holds_itself_is_compared() -> None:
    def plant(document: Document, kind: str) -> Document:
        children = {"type": "array", "items": {"$ref": "#/components/schemas/CaseSummary"}}
        properties = {"children": children, "colour": {"type": kind}}
        return changed(
            document, lambda d: schema(d, "CaseSummary")["properties"].update(properties)
        )

    old = OpenApi.model_validate(plant(CASES, "string"))
    new = OpenApi.model_validate(plant(CASES, "integer"))

    assert set(compare_openapi(old, new)) == {
        "CaseSummary.colour: the type changed from string to integer"
    }


@pytest.mark.parametrize(
    ("released", "version", "may_break"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.1", False),
        ("0.1.0", "0.2.0", True),
        ("0.10.0", "0.9.0", False),
        ("0.9.0", "1.0.0", True),
        ("1.0.0", "1.1.0", False),
        ("1.9.3", "2.0.0", True),
    ],
)
def test_version_decides_what_may_break(released: str, version: str, may_break: bool) -> None:
    assert Version.parse(version).may_break(Version.parse(released)) == may_break


@pytest.mark.parametrize("text", ["1", "1.2", "1.2.3.4", "1.2.x", "1.2.3rc1", "1.-2.3"])
def test_version_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(DeployError, match=r"MAJOR\.MINOR\.PATCH"):
        _ = Version.parse(text)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder of releases, the newest of which has more than the contracts of today."""
    for version in ("0.9.0", "0.10.0"):
        _ = shutil.copytree(
            CONTRACTS, tmp_path / version, ignore=shutil.ignore_patterns("released")
        )
    more = changed(CASES, lambda d: d["paths"].update({"/gone": d["paths"][FILES]}))
    _ = (tmp_path / "0.10.0/cases.openapi.json").write_bytes(orjson.dumps(more))
    _ = (tmp_path / "0.10.0/gone.openapi.json").write_bytes(orjson.dumps(CASES))
    return tmp_path


def test_newest_release_is_what_counts(release: Path) -> None:
    found = forbidden_changes(Version(0, 10, 1), released=release)

    assert found == [
        "cases.openapi.json: GET /gone: the operation is removed",
        "gone.openapi.json: the contract is removed",
    ]
    assert forbidden_changes(Version(0, 11, 0), released=release) == []
    assert breaking_changes(release / "0.9.0", CONTRACTS) == []


def test_nothing_is_forbidden_before_the_first_release(tmp_path: Path) -> None:
    assert forbidden_changes(Version(0, 0, 1), released=tmp_path) == []


def test_command_ends_with_the_changes(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "KEPT_CONTRACTS", release)
    monkeypatch.setattr(command, "current_version", lambda: Version(0, 10, 1))

    answer = CliRunner().invoke(command.cli, [])

    assert answer.exit_code == 1
    assert "cases.openapi.json: GET /gone: the operation is removed" in answer.stderr
    assert "version 0.10.1 must not break" in answer.stderr


def test_contracts_of_today_break_nothing_that_is_released() -> None:
    assert forbidden_changes(current_version(), released=KEPT_CONTRACTS) == []

"""Files that are made from the code.

Contracts below `docs/api/`: OpenAPI of every service, AsyncAPI of all facts and of what peers get.
The templates of paths that the gateway logs. `docs/settings.md`. Alerts, dashboard and the index of
the runbook. `python -m deploy.docs` writes them, `--check` ends
with status 1 when the committed ones differ from the code.
"""

import base64
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from deploy import settings_reference
from deploy.embedded import SERVICES
from deploy.operate import monitoring
from gateway.documents import document_path
from gateway.templates import FILE as TEMPLATES
from services.exchange.events.model.contract import asyncapi as external_asyncapi
from services.exchange.events.views import city_of
from services.exchange.settings import OutsideSettings
from shared.city import SAMPLE
from shared.events.base import registered_events, topic_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/api"
SETTINGS = ROOT / "docs/settings.md"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def openapi(service: str) -> dict[str, Any]:
    """The service's OpenAPI 3.1 document; its app is built, never started."""
    settings = import_module(f"services.{service}.settings").Settings(
        database_url=NOWHERE,
        data_key=base64.b64encode(bytes(32)).decode(),
        platform_key=base64.b64encode(bytes(32)).decode(),
        jwks_url="http://127.0.0.1:1/",
        bus="local",
        bus_database_url=NOWHERE,
        city_file=SAMPLE,
    )
    return import_module(f"services.{service}.main").build(settings).openapi()


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0: a channel per topic, a message per fact with the schema of its data."""
    for service in SERVICES:
        _ = import_module(f"services.{service}.consumer")
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, kind in sorted(registered_events().items()):
        channel = channels.setdefault(
            kind.service, {"address": topic_of(kind.service), "messages": {}}
        )
        channel["messages"][name] = {
            "name": name,
            "summary": (kind.__doc__ or "").strip().splitlines()[0],
            "contentType": "application/cloudevents+json; charset=UTF-8",
            "payload": kind.model_json_schema(mode="serialization"),
        }
        operations[f"publish_{kind.service}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{kind.service}"},
        }
    info = {
        "title": "Tongban events",
        "version": "1",
        "description": "The data of CloudEvents 1.0, keyed by aggregate.",
    }
    return {"asyncapi": "3.0.0", "info": info, "channels": channels, "operations": operations}


def external() -> dict[str, Any]:
    """AsyncAPI 3.0 of what leaves the platform.

    exchange serves the same document with the settings of its city.
    """
    return external_asyncapi(city_of(OutsideSettings(city_file=SAMPLE)))


def documents() -> dict[str, bytes]:
    """File name → content, keys sorted so that only a changed contract changes a file."""
    found = {f"{service}.openapi.json": openapi(service) for service in SERVICES}
    found["events.asyncapi.json"] = asyncapi()
    found["exchange.asyncapi.json"] = external()
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return {name: orjson.dumps(document, option=options) for name, document in found.items()}


def path_templates(contracts: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Every path of the OpenAPI documents, for the gateway's log."""
    # Served beside what the documents describe.
    templates = {document_path(service) for service in SERVICES}
    for contract in contracts.values():
        templates |= set(contract.get("paths", ()))
    return "".join(f"{template}\n" for template in sorted(templates)).encode()


def generated() -> dict[Path, bytes]:
    """Every file that is made from the code, with its content."""
    contracts = documents()
    files = {FOLDER / name: content for name, content in contracts.items()}
    files[TEMPLATES] = path_templates({name: orjson.loads(c) for name, c in contracts.items()})
    files[SETTINGS] = settings_reference.reference().encode()
    files |= monitoring.files()
    return files


def main(arguments: list[str]) -> int:
    """`[--check]`."""
    drifted: list[str] = []
    for path, content in generated().items():
        if arguments == ["--check"]:
            if not path.exists() or path.read_bytes() != content:
                drifted.append(os.path.relpath(path, ROOT))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _ = path.write_bytes(content)
    if drifted:
        told = ", ".join(drifted)
        _ = sys.stderr.write(f"these differ from the code: {told}; run `make docs` and commit\n")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The contracts of all services as one: OpenAPI 3.1, and the catalogue of APIs (RFC 9727)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import cast

import orjson
from starlette.types import ASGIApp

from gateway.replicas import base_urls
from shared.runtime import http_client

KEPT_SECONDS = 10.0
"""How long a merged document is served; one with a part missing for a fifth of it."""
LINKSET = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
DESCRIPTION = (
    "Every service of this platform behind one gateway. Errors are problem documents (RFC 9457); "
    "a creating POST takes an `Idempotency-Key`; a change of a shared record takes `If-Match`."
)

Upstreams = Mapping[str, str | list[str] | ASGIApp]
"""Where each service is: its base URL, several of them, or an app in this process."""
Document = dict[str, object]
"""A JSON document whose parts are only moved, never read in detail."""


class Documents:
    """Reads every service's OpenAPI document, over HTTP or from the app in this process."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._merged: Document | None = None
        self._until = float("-inf")
        self._merging = asyncio.Lock()

    async def merged(self) -> Document:
        """The document of all services that answer; `x-unavailable` names the others."""
        async with self._merging:
            if self._merged is None or time.monotonic() >= self._until:
                names = sorted(self._upstreams)
                parts = await asyncio.gather(*(self._read(name) for name in names))
                by_name = dict(zip(names, parts, strict=True))
                self._merged = merge(by_name)
                kept = KEPT_SECONDS
                if unavailable(by_name):
                    kept = KEPT_SECONDS / 5
                self._until = time.monotonic() + kept
            return self._merged

    async def _read(self, service: str) -> object:
        upstream = self._upstreams[service]
        if callable(upstream):
            # An app in this process; only FastAPI apps describe themselves.
            describe: Callable[[], object] | None = getattr(upstream, "openapi", None)
            return None if describe is None else describe()
        path = document_path(service)
        return await http_client.get_json_of_any([base + path for base in base_urls(upstream)])

    def catalog(self, base: str) -> Document:
        """The linkset of `/.well-known/api-catalog`: each API with description, page and health."""
        items: list[Document] = []
        described: list[Document] = []
        for service in sorted(self._upstreams):
            api = f"{base}/api/v1/{service}"
            description = {
                "href": f"{api}/openapi.json",
                "type": "application/vnd.oai.openapi+json;version=3.1",
            }
            items.append({"href": api})
            described.append(
                {
                    "anchor": api,
                    "service-desc": [description],
                    "service-doc": [{"href": f"{base}/docs", "type": "text/html"}],
                    "status": [{"href": f"{base}/readyz", "type": "application/json"}],
                }
            )
        listed: Document = {"anchor": f"{base}/.well-known/api-catalog", "item": items}
        return {"linkset": [listed, *described]}


def document_path(service: str) -> str:
    """Where a service serves its OpenAPI document."""
    return f"/api/v1/{service}/openapi.json"


def unavailable(parts: Mapping[str, object]) -> list[str]:
    """The services whose document could not be read."""
    return sorted(service for service, part in parts.items() if not isinstance(part, dict))


def merge(parts: Mapping[str, object]) -> Document:
    """One document of several.

    A schema's name gets its service in front, because two services may use the same name.
    """
    paths: Document = {}
    components: dict[str, Document] = {}
    missing = unavailable(parts)
    for service, part in parts.items():
        if service in missing:
            continue
        document = _with_prefixed_references(part, service)
        paths.update(document.get("paths", {}))
        for section, entries in document.get("components", {}).items():
            prefix = f"{service}." if section == "schemas" else ""
            merged = components.setdefault(section, {})
            for name, entry in entries.items():
                merged[prefix + name] = entry
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tongban",
            "version": "1",
            "description": DESCRIPTION,
            "x-unavailable": missing,
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _with_prefixed_references(part: object, service: str) -> dict[str, dict[str, Document]]:
    """The document with the service's name in every reference to a schema."""
    reference = b'"#/components/schemas/'
    renamed = orjson.dumps(part).replace(reference, reference + service.encode() + b".")
    return cast("dict[str, dict[str, Document]]", orjson.loads(renamed))

"""The contracts of all services as one: OpenAPI 3.1, and the catalogue of APIs (RFC 9727)."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import ASGIApp

from shared.runtime import http_client

KEPT = 10.0
"""Seconds for which a merged document serves; one with a part missing a fifth of it."""
LINKSET = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
DESCRIPTION = (
    "Every service of this platform behind one gateway. Errors are problem documents (RFC 9457); "
    "a creating POST takes an `Idempotency-Key`; a change of a shared record takes `If-Match`."
)


class Documents:
    """Reads every service's OpenAPI document (over HTTP, or from the app in this process) and joins them."""

    def __init__(self, upstreams: Mapping[str, str | ASGIApp]) -> None:
        self._upstreams = upstreams
        self._merged: dict[str, Any] | None = None
        self._until = float("-inf")
        self._merging = asyncio.Lock()

    async def merged(self) -> dict[str, Any]:
        """The document of all services that answer; those that do not are named in `x-unavailable`."""
        async with self._merging:
            if self._merged is None or time.monotonic() >= self._until:
                names = sorted(self._upstreams)
                parts = await asyncio.gather(*(self._read(name) for name in names))
                self._merged = merge(dict(zip(names, parts, strict=True)))
                whole = not self._merged["info"]["x-unavailable"]
                self._until = time.monotonic() + (KEPT if whole else KEPT / 5)
            return self._merged

    async def _read(self, service: str) -> Any | None:
        upstream = self._upstreams[service]
        if isinstance(upstream, str):
            return await http_client.get_json(f"{upstream.rstrip('/')}{document_path(service)}")
        describe: Any = getattr(upstream, "openapi", None)
        return describe() if describe is not None else None

    def catalog(self, base: str) -> dict[str, Any]:
        """The linkset of `/.well-known/api-catalog`: every API with its description, its page and its health."""
        apis = [f"{base}/api/v1/{service}" for service in sorted(self._upstreams)]
        described = [
            {
                "anchor": api,
                "service-desc": [
                    {
                        "href": f"{api}/openapi.json",
                        "type": "application/vnd.oai.openapi+json;version=3.1",
                    }
                ],
                "service-doc": [{"href": f"{base}/docs", "type": "text/html"}],
                "status": [{"href": f"{base}/readyz", "type": "application/json"}],
            }
            for api in apis
        ]
        listed = {
            "anchor": f"{base}/.well-known/api-catalog",
            "item": [{"href": api} for api in apis],
        }
        return {"linkset": [listed, *described]}


def document_path(service: str) -> str:
    return f"/api/v1/{service}/openapi.json"


def merge(parts: Mapping[str, Any | None]) -> dict[str, Any]:
    """One document of several. A schema's name gets its service in front, because two services may use the same name."""
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    missing = sorted(service for service, part in parts.items() if not isinstance(part, dict))
    for service, part in parts.items():
        if service in missing:
            continue
        renamed = orjson.loads(
            orjson.dumps(part).replace(
                b'"#/components/schemas/', f'"#/components/schemas/{service}.'.encode()
            )
        )
        paths.update(renamed.get("paths", {}))
        for section, entries in renamed.get("components", {}).items():
            prefix = f"{service}." if section == "schemas" else ""
            components.setdefault(section, {}).update(
                {prefix + name: entry for name, entry in entries.items()}
            )
    info = {"title": "Tongban", "version": "1", "description": DESCRIPTION}
    return {
        "openapi": "3.1.0",
        "info": {**info, "x-unavailable": missing},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }

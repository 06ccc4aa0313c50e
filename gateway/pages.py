"""The gateway's own pages and documents: health, metrics, the merged OpenAPI, its interactive page, the API catalogue, and the
form behind a rating link.

Everything a page needs comes from here: no other origin, no inline script, a strict Content-Security-Policy.
"""

from collections.abc import Callable
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.documents import LINKSET, Documents
from gateway.proxy import Forwarder
from gateway.trust import Trust

FOLDER = Path(__file__).resolve().parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "public, max-age=300",
}
STATIC = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/rate/{token}": ("rate.html", "text/html; charset=utf-8"),
    "/static/rate.js": ("rate.js", "text/javascript; charset=utf-8"),
    "/static/rate.css": ("rate.css", "text/css; charset=utf-8"),
    "/static/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/static/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def _file(name: str, kind: str) -> Callable[[], Response]:
    content = (FOLDER / name).read_bytes()
    return lambda: Response(content, headers=SAFE, media_type=kind)


def pages(forwarder: Forwarder, trust: Trust, documents: Documents, public_url: str) -> APIRouter:
    """The router of everything that is not forwarded."""
    router = APIRouter()

    def base(request: Request) -> str:
        return (public_url or str(request.base_url)).rstrip("/")

    @router.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive", "service": "gateway"}

    @router.get("/readyz")
    async def ready(response: Response) -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        checks = trust.checks()
        response.status_code = 200 if all(checks.values()) else 503
        return {"service": "gateway", "checks": checks, "circuits": forwarder.states()}

    @router.get("/metrics")
    async def measured() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    @router.get("/openapi.json")
    async def openapi() -> Response:  # pyright: ignore[reportUnusedFunction]
        body = orjson.dumps(await documents.merged())
        return Response(body, headers={**SAFE, "cache-control": "public, max-age=10"}, media_type="application/json")

    @router.api_route("/.well-known/api-catalog", methods=["GET", "HEAD"])
    async def catalog(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        here = base(request)
        headers = {"link": f'<{here}/.well-known/api-catalog>; rel="api-catalog"', "content-type": LINKSET}
        return Response(orjson.dumps(documents.catalog(here)), headers={**SAFE, **headers})

    for path, (name, kind) in STATIC.items():
        router.add_api_route(path, _file(name, kind), response_class=Response)
    return router

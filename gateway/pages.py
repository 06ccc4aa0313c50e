"""The gateway's own pages and documents: health, metrics, the merged OpenAPI, its interactive page, the API catalogue, and the
pages that people open: the form behind a rating link, the check of a licence, published ratings, the exchange's state.

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
PAGES = {
    "/docs": "docs.html",
    "/rate/{token}": "rate.html",
    "/check": "check.html",
    "/check/{qr_token}": "check.html",
    "/ratings": "ratings.html",
    "/exchange": "exchange.html",
}
ASSETS = [file.name for file in sorted(FOLDER.iterdir()) if file.suffix in {".js", ".css"}]
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def _file(name: str) -> Callable[[], Response]:
    content, kind = (FOLDER / name).read_bytes(), f"{KINDS[Path(name).suffix]}; charset=utf-8"
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
        return Response(
            body,
            headers={**SAFE, "cache-control": "public, max-age=10"},
            media_type="application/json",
        )

    @router.api_route("/.well-known/api-catalog", methods=["GET", "HEAD"])
    async def catalog(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        here = base(request)
        headers = {
            "link": f'<{here}/.well-known/api-catalog>; rel="api-catalog"',
            "content-type": LINKSET,
        }
        return Response(orjson.dumps(documents.catalog(here)), headers={**SAFE, **headers})

    for path, name in {**PAGES, **{f"/static/{name}": name for name in ASSETS}}.items():
        router.add_api_route(path, _file(name), response_class=Response)
    return router

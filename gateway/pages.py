"""The gateway's own pages and documents.

Health, metrics, the merged OpenAPI with its interactive page, the API catalogue, and the pages that
people open: the form behind a rating link, the check of a license, published ratings, the state of
the exchange. Everything a page needs comes from here: no other origin, no inline script, a strict
Content-Security-Policy.
"""

import time
from collections.abc import Callable
from pathlib import Path

import orjson
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.documents import LINKSET, Documents
from gateway.key_feed import KeyAndRevocationFeed
from gateway.proxy import Forwarder
from gateway.request_log import request_log
from gateway.templates import UNMATCHED
from shared.city import City
from shared.http.draining import Drain

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
SCOPE = "this gateway alone: it can check tokens; tongban status tells of all processes"
"""`/readyz` decides where requests are sent, so it must not depend on what is behind."""
MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def _file(name: str) -> Callable[[], Response]:
    """An endpoint that serves one file, read once."""
    content = (FOLDER / name).read_bytes()
    media_type = f"{MEDIA_TYPES[Path(name).suffix]}; charset=utf-8"

    def serve() -> Response:
        return Response(content, headers=SAFE, media_type=media_type)

    return serve


class LoggedPages:
    """The app of the pages; each request of it has its line in the request log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0917 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            request_log.add(
                scope["method"],
                getattr(scope.get("route"), "path", UNMATCHED),
                status=status,
                seconds=time.perf_counter() - started,
                service="none",
                caller="anonymous",
                request_id="",
            )


def pages(
    forwarder: Forwarder,
    feed: KeyAndRevocationFeed,
    *,
    documents: Documents,
    public_url: str,
    drain: Drain,
    city: City,
) -> APIRouter:
    """The router of everything that is not forwarded."""
    router = APIRouter()
    add_probes(router, forwarder, feed=feed, drain=drain)
    _add_documents(router, documents, public_url=public_url)
    _add_city(router, city)
    for path, name in PAGES.items():
        router.add_api_route(path, _file(name), response_class=Response)
    for name in ASSETS:
        router.add_api_route(f"/static/{name}", _file(name), response_class=Response)
    return router


def add_probes(
    router: APIRouter, forwarder: Forwarder, *, feed: KeyAndRevocationFeed, drain: Drain
) -> None:
    """What orchestrators and monitoring ask for."""

    @router.get("/healthz")
    async def alive() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction] - a route
        return {"status": "alive", "service": "gateway"}

    @router.get("/readyz")
    async def ready(  # pyright: ignore[reportUnusedFunction] - a route
        response: Response,
    ) -> dict[str, object]:
        checks = feed.checks()
        if drain.began:
            checks = {"accepting": False}
        response.status_code = 200 if all(checks.values()) else 503
        return {
            "service": "gateway",
            "scope": SCOPE,
            "checks": checks,
            "circuits": forwarder.states(),
        }

    @router.get("/metrics")
    async def measured() -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


def _add_city(router: APIRouter, city: City) -> None:
    """Which city this is, for portals and integrators: codes, hours, languages, calendar."""
    public = city.model_dump(mode="json", exclude={"domains": True, "calendar": {"seed"}})
    content = orjson.dumps(public)

    @router.get("/city.json")
    async def read_city() -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        return Response(content, headers=SAFE, media_type="application/json")


def _add_documents(router: APIRouter, documents: Documents, *, public_url: str) -> None:
    """What integrators read: the merged OpenAPI and the API catalogue (RFC 9727)."""

    @router.get("/openapi.json")
    async def openapi() -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        # Cached briefly: services start and change one by one, and each adds its part.
        headers = {**SAFE, "cache-control": "public, max-age=10"}
        content = orjson.dumps(await documents.merged())
        return Response(content, headers=headers, media_type="application/json")

    @router.api_route("/.well-known/api-catalog", methods=["GET", "HEAD"])
    async def catalog(  # pyright: ignore[reportUnusedFunction] - a route
        request: Request,
    ) -> Response:
        # The setting first: `Host` is the caller's word, and this answer is cached for others.
        base = (public_url or str(request.base_url)).rstrip("/")
        headers = {
            "link": f'<{base}/.well-known/api-catalog>; rel="api-catalog"',
            "content-type": LINKSET,
        }
        return Response(orjson.dumps(documents.catalog(base)), headers={**SAFE, **headers})

"""HTTP out of events: pulled by cursor, and the schemas and keys by which anybody reads and verifies them."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.exchange.access import EVENTS, Config, Db, check_scope, find_active_peer
from services.exchange.events.model.contract import asyncapi
from services.exchange.events.model.external import City, ExternalType, types_of
from services.exchange.events.queries.log import get_head
from services.exchange.events.schemas.deliveries import EventPage, SchemaList
from services.exchange.events.schemas.subscriptions import WebhookKeys
from services.exchange.events.use_cases.endpoints import public_key
from services.exchange.events.use_cases.pull import Pulled, pull_events
from services.exchange.peers.schemas import EventType
from services.exchange.settings import Settings
from shared.database.session import Database
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession
from shared.pagination import Limit
from shared.security.auth import CurrentCaller

router = APIRouter()

POLL = 0.25
"""Seconds between two looks at the log's head while a request waits."""


@router.get("/events", response_model=EventPage)
async def list_events(
    database: Db,
    caller: CurrentCaller,
    subscription: Annotated[
        UUID, Query(description="The subscription whose types and filters count")
    ],
    after: Annotated[
        int | None,
        Query(
            ge=0, le=2**63 - 1, description="Place in the log; where it was left off when missing"
        ),
    ] = None,
    limit: Limit = 100,
    wait: Annotated[
        float, Query(ge=0, le=20, description="Seconds to wait when there is nothing new")
    ] = 0,
) -> Any:
    """The next events in the order of the log, as the exact bytes that a webhook gets; from any place that is kept."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while True:
        async with database.transaction() as session:
            peer = await find_active_peer(session, caller)
            check_scope(caller, EVENTS)
            pulled = await pull_events(session, subscription, peer, after, limit)
        if pulled.payloads or not await _grows(database, pulled.head, until):
            return _batch(pulled)
        after = pulled.next


async def _grows(database: Database, head: int, until: float) -> bool:
    """Whether the log gets longer before the time is over; no connection is held while it does not."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(POLL)
        async with database.reading() as session:
            if (await get_head(session)).sequence > head:
                return True
    return False


def _batch(pulled: Pulled) -> Response:
    items = b",".join(pulled.payloads)
    content = b'{"items":[%b],"next":%d,"head":%d}' % (items, pulled.next, pulled.head)
    return Response(content, media_type="application/json")


@router.get("/schemas", response_model=SchemaList)
async def list_schemas(settings: Config) -> Any:
    """Every type of event that leaves the platform."""
    city = _city(settings)
    items = [
        {
            "type": name,
            "service": external.fact.service,
            "classification": external.classification,
            "url": city.schema_url(name),
            "description": external.fact.__doc__ or "",
        }
        for name, external in types_of(settings.city_name).items()
    ]
    return {"items": items}


@router.get("/schemas/{event_type}", response_model=dict[str, Any])
async def get_schema(event_type: EventType, settings: Config, response: Response) -> Any:
    """JSON Schema 2020-12 of the data of one type of event."""
    external: ExternalType | None = types_of(settings.city_name).get(event_type)
    if external is None:
        raise NotFoundError("no event of this type leaves the platform")
    response.headers["cache-control"] = "public, max-age=3600"
    return {"$id": _city(settings).schema_url(event_type), **external.schema}


@router.get("/asyncapi.json", response_model=dict[str, Any])
async def get_asyncapi(settings: Config, response: Response) -> Any:
    """The contract of the events that leave the platform, for generators: AsyncAPI 3.0."""
    response.headers["cache-control"] = "public, max-age=3600"
    return asyncapi(_city(settings))


@router.get("/webhook-keys", response_model=WebhookKeys)
async def list_webhook_keys(_session: ReadSession) -> Any:
    """The platform's public keys: whoever verifies `v1a` has evidence that the platform said it."""
    return {"keys": [public_key()]}


def _city(settings: Settings) -> City:
    return City(settings.city_code, settings.city_name, settings.public_url)

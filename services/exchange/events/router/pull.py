"""HTTP out of events: pulled by cursor, and the schemas and keys that explain and verify them."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.exchange.access import EVENTS, check_scope, require_active_peer
from services.exchange.dependencies import Config
from services.exchange.events.model.contract import asyncapi
from services.exchange.events.model.external import JsonObject, types_of
from services.exchange.events.queries.log import get_head
from services.exchange.events.schemas.deliveries import EventPage, SchemaEntry, SchemaList
from services.exchange.events.schemas.subscriptions import WebhookKeys
from services.exchange.events.use_cases.endpoints import public_key
from services.exchange.events.use_cases.pull import Pulled, pull_events
from services.exchange.events.views import city_of
from services.exchange.peers.schemas import EventType
from shared.database.session import Database
from shared.errors import NotFoundError
from shared.http.dependencies import Db, ReadSession
from shared.pagination import Limit
from shared.security.auth import CurrentCaller

router = APIRouter()

POLL = 0.25
"""Seconds between two looks at the log's head while a request waits."""
CACHED = "public, max-age=3600"


@router.get("/events", response_model=EventPage)
async def list_events(
    *,
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
) -> Response:
    """The next events in the order of the log, from any place that is kept.

    They are the exact bytes that a webhook gets.
    """
    until = asyncio.get_running_loop().time() + wait
    while True:
        async with database.transaction() as session:
            peer = await require_active_peer(session, caller)
            check_scope(caller, EVENTS)
            pulled = await pull_events(session, subscription, peer=peer, after=after, limit=limit)
        if pulled.payloads or not await _log_grows(database, pulled.head, until=until):
            return _page(pulled)
        after = pulled.next


async def _log_grows(database: Database, head: int, *, until: float) -> bool:
    """Whether the log gets longer before the time is over; no connection is held meanwhile."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(POLL)
        async with database.reading() as session:
            present = await get_head(session)
        if present.sequence > head:
            return True
    return False


def _page(pulled: Pulled) -> Response:
    # Composed of the stored bytes: a peer may compare them with those of a webhook.
    items = b",".join(pulled.payloads)
    content = b'{"items":[%b],"next":%d,"head":%d}' % (items, pulled.next, pulled.head)
    return Response(content, media_type="application/json")


@router.get("/schemas")
async def list_schemas(settings: Config) -> SchemaList:
    """Every type of event that leaves the platform."""
    city = city_of(settings)
    items: list[SchemaEntry] = []
    for name, external in types_of(settings.city.name).items():
        entry = SchemaEntry(
            type=name,
            service=external.fact.service,
            classification=external.classification,
            url=city.schema_url(name),
            description=external.fact.__doc__ or "",
        )
        items.append(entry)
    return SchemaList(items=items)


@router.get("/schemas/{event_type}")
async def get_schema(event_type: EventType, settings: Config, response: Response) -> JsonObject:
    """JSON Schema 2020-12 of the data of one type of event."""
    external = types_of(settings.city.name).get(event_type)
    if external is None:
        raise NotFoundError("no event of this type leaves the platform")
    response.headers["cache-control"] = CACHED
    return {"$id": city_of(settings).schema_url(event_type), **external.schema}


@router.get("/asyncapi.json")
async def get_asyncapi(settings: Config, response: Response) -> JsonObject:
    """The contract of the events that leave the platform, for generators: AsyncAPI 3.0."""
    response.headers["cache-control"] = CACHED
    return asyncapi(city_of(settings))


# The session is needed although nothing is read: the key is derived from the database's data key.
@router.get("/webhook-keys")
async def list_webhook_keys(_session: ReadSession) -> WebhookKeys:
    """The platform's public keys: whoever verifies `v1a` has evidence that the platform said it."""
    return WebhookKeys(keys=[public_key()])

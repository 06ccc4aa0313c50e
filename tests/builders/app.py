"""A small service app on the ground alone, for tests of what all services have in common."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text

from shared.database import audit
from shared.errors import ConflictError
from shared.fields import CLEAN
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, check_version, etag
from shared.http.idempotency import IdempotentRoute, Once
from shared.messaging import outbox
from shared.pagination import Cursor, Limit, decode_cursor, page_of
from shared.security.auth import Administrator, Citizen, CurrentCaller, MaybeCaller, VerifiedCitizen
from tests.builders.events import a_fact

router = APIRouter(prefix="/api/v1/assessment/test", route_class=IdempotentRoute)


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=20), CLEAN]
    count: Annotated[int, Field(ge=1, le=9)]


@router.post("/items", status_code=201, dependencies=[Once])
async def create(
    item: Item, session: Session, caller: CurrentCaller, response: Response
) -> dict[str, Any]:
    if item.name == "refused":
        raise ConflictError("refused by a rule")
    fact = a_fact()
    outbox.add(session, fact)
    audit.record(
        session, "item.create", object_type="item", object_id=fact.account_id, count=item.count
    )
    await session.flush()
    if item.name == "slow":
        _ = await session.execute(text("SELECT pg_sleep(0.3)"))
    if item.name == "crash":
        _ = await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    response.headers["etag"] = etag(1)
    return {"id": str(fact.account_id), "by": caller.subject}


@router.put("/items")
async def change(item: Item, expected: IfMatch, _citizen: Citizen) -> dict[str, Any]:
    check_version(3, expected=expected)
    return {"name": item.name}


@router.get("/items")
async def list_items(
    session: ReadSession, _caller: MaybeCaller, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = (
        await session.execute(
            text("SELECT n FROM generate_series(1, 25) n WHERE n > :after ORDER BY n LIMIT :limit"),
            {"after": after, "limit": limit + 1},
        )
    ).all()
    page, following = page_of(rows, limit, "n")
    return {"items": [row.n for row in page], "next": following}


@router.get("/verified")
async def verified(_citizen: VerifiedCitizen) -> dict[str, str]:
    return {"ok": "yes"}


@router.get("/administration")
async def administration(_administrator: Administrator) -> dict[str, str]:
    return {"ok": "yes"}


@router.get("/broken")
async def broken(_caller: MaybeCaller) -> None:
    raise RuntimeError("540102199001010011 must never be shown")


@router.get("/database-trouble")
async def database_trouble(session: ReadSession) -> None:
    _ = await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@router.post("/twice")
async def twice(session: Session) -> None:
    for _ in range(2):
        _ = await session.execute(
            text("INSERT INTO inbox VALUES ('018f0000-0000-7000-8000-000000000000')")
        )

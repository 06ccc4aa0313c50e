"""HTTP in and out of lights (红黄灯), and the clocks of a development system."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.cases.access import FIRST, At, Config, Officer, Overseer
from services.cases.case_file.model.clocks import Level
from services.cases.handling import queries as handling_queries
from services.cases.handling.schemas import AnswerLight, LightRead
from services.cases.handling.use_cases import lights
from services.cases.settings import Settings
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.etags import IfMatch, etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.tokens import Caller

router = APIRouter()


def _scope(caller: Caller, settings: Settings) -> tuple[str | None, str | None]:
    """Area and department whose lights the caller sees; None for all."""
    if "supervisor" not in caller.roles:
        return caller.area or "", caller.department or ""
    return (None if caller.area == settings.city_code else caller.area or ""), None


@router.get("/lights", response_model=Page[LightRead])
async def list_lights(
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    is_open: Annotated[
        bool | None,
        Query(alias="open", description="Only those that burn, or only those that are out"),
    ] = None,
    level: Annotated[Level | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Lights of the officer's department, or of the supervisor's area (the city's supervisors see all areas)."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    area, department = _scope(caller, settings)
    rows = await handling_queries.list_lights(
        session, area, department, is_open=is_open, level=level, after=after, limit=limit
    )
    page, following = page_of(rows, limit, "id")
    return {"items": page, "next": following}


@router.get("/lights/{light_id}", response_model=LightRead)
async def get_light(
    light_id: UUID, session: ReadSession, caller: Overseer, settings: Config, response: Response
) -> Any:
    """One light."""
    light = await handling_queries.get_light(session, light_id)
    for sees, has in zip(
        _scope(caller, settings), (light.area_code, light.department_code), strict=True
    ):
        if sees not in {None, has}:
            raise NotFoundError("no such light of yours")
    response.headers["etag"] = etag(light.revision)
    return light


@router.post("/lights/{light_id}/answer", response_model=LightRead)
async def answer_light(
    light_id: UUID,
    command: AnswerLight,
    session: Session,
    officer: Officer,
    expected: IfMatch,
    at: At,
    response: Response,
) -> Any:
    """The department answers; the light goes out."""
    light = await lights.answer_light(session, light_id, command, expected, officer, at)
    response.headers["etag"] = etag(light.revision)
    return light

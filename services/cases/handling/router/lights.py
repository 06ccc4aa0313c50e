"""HTTP endpoints of lights (红黄灯)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.cases.access import FIRST, Config, OfficerAct, Overseer
from services.cases.case_file.model.clocks import Level
from services.cases.handling import queries as handling_queries
from services.cases.handling.model import Light
from services.cases.handling.schemas import AnswerLight, LightRead
from services.cases.handling.use_cases import lights
from services.cases.settings import Settings
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession
from shared.http.etags import etag
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.tokens import Caller

router = APIRouter()


def _scope(caller: Caller, settings: Settings) -> tuple[str | None, str | None]:
    """Area and department whose lights the caller sees; None for all."""
    if "supervisor" not in caller.roles:
        # An empty code is that of no light: who belongs to no department sees none.
        return caller.area or "", caller.department or ""
    if caller.area == settings.city.code:
        return None, None
    return caller.area or "", None


def _show(light: Light) -> LightRead:
    return LightRead(
        id=light.id,
        revision=light.revision,
        case_id=light.case_id,
        number=light.number,
        matter_name=light.matter_name,
        area_code=light.area_code,
        department_code=light.department_code,
        rule=light.rule,
        level=light.level,
        due_on=light.due_on,
        raised_at=light.raised_at,
        answer=light.answer,
        answered_by=light.answered_by,
        answered_at=light.answered_at,
        cleared_at=light.cleared_at,
    )


@router.get("/lights")
async def list_lights(
    *,
    session: ReadSession,
    caller: Overseer,
    settings: Config,
    is_open: Annotated[
        bool | None,
        Query(alias="open", description="Only those that are on, or only those that are out"),
    ] = None,
    level: Annotated[Level | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LightRead]:
    """Lights of the officer's department, or of the supervisor's area.

    The city's supervisors see all areas.
    """
    after = FIRST
    if cursor:
        (after,) = decode_cursor(cursor, UUID)
    area_code, department_code = _scope(caller, settings)
    found = await handling_queries.list_lights(
        session,
        area_code=area_code,
        department_code=department_code,
        is_raised=is_open,
        level=level,
        after=after,
        limit=limit,
    )
    page: Sequence[Light]
    page, next_cursor = page_of(found, limit, "id")
    return Page[LightRead](items=[_show(light) for light in page], next=next_cursor)


@router.get("/lights/{light_id}")
async def get_light(
    light_id: UUID, session: ReadSession, caller: Overseer, settings: Config, response: Response
) -> LightRead:
    """One light."""
    light = await handling_queries.get_light(session, light_id)
    area_code, department_code = _scope(caller, settings)
    # The same answer as for an unknown id: it must not tell that the light exists.
    if area_code not in {None, light.area_code}:
        raise NotFoundError("no such light of yours")
    if department_code not in {None, light.department_code}:
        raise NotFoundError("no such light of yours")
    response.headers["etag"] = etag(light.revision)
    return _show(light)


@router.post("/lights/{light_id}/answer")
async def answer_light(act: OfficerAct, light_id: UUID, command: AnswerLight) -> LightRead:
    """The department answers; the light goes out."""
    light = await lights.answer_light(act, light_id, command=command)
    act.headers["etag"] = etag(light.revision)
    return _show(light)

"""Lights over cases: raised and cleared as days pass or an act changes the case, and answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.access import belongs_to
from services.cases.calendar import queries as calendar_queries
from services.cases.case_file import queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import LightKey
from services.cases.handling import queries as handling_queries
from services.cases.handling.model import Light
from services.cases.handling.schemas import AnswerLight
from services.cases.journal import Journal
from shared.database.acts import Act
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.events.cases import LightCleared, LightRaised
from shared.http.etags import check_version

BATCH = 200
"""Cases per transaction."""


@dataclass(frozen=True, slots=True)
class LightChanges:
    """How many cases were checked, and how many lights were raised and cleared."""

    cases: int = 0
    raised: int = 0
    cleared: int = 0


async def update_lights(
    session: AsyncSession, cases: Sequence[Case], *, at: Moment
) -> LightChanges:
    """Raise and clear the lights of these cases as they must be now.

    The cases must be locked: that guards their lights, too. A light that was answered stays out
    until its due date moves. One that went out by itself is raised again when it is true again.
    """
    known: dict[UUID, dict[LightKey, Light]] = {case.id: {} for case in cases}
    for light in await handling_queries.list_lights_of(session, list(known)):
        known[light.case_id][light.key] = light
    raised: list[LightRaised] = []
    cleared: list[LightCleared] = []
    for case in cases:
        lights = known[case.id]
        must_be_raised = case.raised_lights(at)
        for key in sorted(must_be_raised, key=lambda key: (key.rule, key.level)):
            light = lights.get(key) or Light.over(case, key)
            if light.may_be_raised:
                session.add(light)
                raised.append(light.turn_on(case, at))
        for key, light in lights.items():
            if light.is_raised and key not in must_be_raised:
                cleared.append(light.turn_off(case, at))
        case.schedule_light_check(at, lights_are_current=True)
    journal = Journal(session, at.now)
    for event in (*cleared, *raised):
        # The action is named by the type of the event: `light.light-raised`.
        action = f"light.{event.wire_type.split('.')[2]}"
        detail = {"rule": event.rule}
        journal.audit(action, "light", event.light_id, events=[event], detail=detail)
    await journal.write()
    return LightChanges(len(cases), len(raised), len(cleared))


async def update_due_lights(session: AsyncSession, now: datetime) -> LightChanges:
    """Update the lights of the cases whose day has come: one batch, claimed for this worker."""
    at = Moment(now, await calendar_queries.get_calendar(session))
    cases = await handling_queries.list_watched(session, at.today, limit=BATCH)
    if not cases:
        return LightChanges()
    return await update_lights(session, cases, at=at)


async def answer_light(act: Act[Moment], light_id: UUID, command: AnswerLight) -> Light:
    """An officer of the department says why, and what is done; the light goes out."""
    light = await handling_queries.get_light(act.session, light_id)
    if not belongs_to(act.caller, light.area_code, department_code=light.department_code):
        raise NotFoundError("no such light of yours")
    case = await queries.get_case(act.session, light.case_id, lock=True)
    # The timer may have changed the light before the case was locked.
    await act.session.refresh(light)
    check_version(light.revision, act.expected)
    cleared = light.reply(act.caller.subject, command.text, case=case, at=act.at)
    journal = Journal(act.session, act.at.now)
    journal.audit(
        "light.answer",
        "light",
        light.id,
        events=[cleared],
        reason=command.text,
        detail={"rule": light.rule.value, "level": light.level.value},
    )
    await journal.write()
    return light

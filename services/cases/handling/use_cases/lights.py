"""Lights over cases: raised and put out as the days pass or an act changes the case, answered by the department."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.calendar import queries as calendar_queries
from services.cases.case_file import queries
from services.cases.case_file.model.case import Case
from services.cases.handling import queries as handling_queries
from services.cases.handling.model import Light
from services.cases.handling.schemas import AnswerLight
from shared.database import audit
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.events.cases import LightCleared, LightRaised
from shared.http.etags import check_version
from shared.messaging import outbox
from shared.security.tokens import Caller

BATCH = 200


@dataclass(frozen=True, slots=True)
class Settled:
    """How many cases were looked at, and how many lights went on and out."""

    cases: int = 0
    raised: int = 0
    cleared: int = 0


async def settle(session: AsyncSession, cases: Sequence[Case], at: Moment) -> Settled:
    """Make the lights of these locked cases what they must be now, each change with its fact.

    The lock of the case guards its lights: whoever comes second finds them as the first left them. A light once answered
    stays out until its due date moves; one that went out by itself and is true again goes on again.
    """
    known = {
        (light.case_id, light.lamp): light
        for light in await handling_queries.list_lights_of(session, [c.id for c in cases])
    }
    on: list[LightRaised] = []
    off: list[LightCleared] = []
    for case in cases:
        burning = case.lamps(at)
        for lamp in sorted(burning, key=lambda lamp: (lamp.rule, lamp.level)):
            light = known.get((case.id, lamp)) or Light.over(case, lamp)
            if light.revision == 0 or (not light.burns and light.answer is None):
                session.add(light)
                on.append(light.turn_on(case, at))
        stale = (
            light
            for (owner, lamp), light in known.items()
            if owner == case.id and lamp not in burning
        )
        off += [light.turn_off(case, at) for light in stale if light.burns]
        case.watch(at, settled=True)
    await outbox.add_many(session, [*off, *on])
    for fact in (*off, *on):
        verb = fact.wire_type.split(".")[2]
        audit.record(session, f"light.{verb}", "light", fact.light_id, rule=fact.rule)
    return Settled(len(cases), len(on), len(off))


async def settle_due(session: AsyncSession, now: datetime) -> Settled:
    """The lights of the cases whose day has come: one batch, claimed for this worker."""
    at = Moment(now, await calendar_queries.get_calendar(session))
    cases = await handling_queries.list_watched(session, at.today, BATCH)
    return await settle(session, cases, at) if cases else Settled()


async def answer_light(
    session: AsyncSession,
    light_id: UUID,
    command: AnswerLight,
    expected: int,
    caller: Caller,
    at: Moment,
) -> Light:
    """An officer of the department says why, and what is done; the light goes out."""
    light = await handling_queries.get_light(session, light_id)
    if (light.area_code, light.department_code) != (caller.area, caller.department):
        raise NotFoundError("no such light of yours")
    case = await queries.get_case(session, light.case_id, lock=True)
    await session.refresh(light)  # The timer may have changed it before the case was ours.
    check_version(light.revision, expected)
    outbox.add(session, light.reply(caller.subject, command.text, case, at))
    audit.record(
        session,
        "light.answer",
        "light",
        light.id,
        reason=command.text,
        rule=light.rule,
        level=light.level,
    )
    return light

"""Lights over cases: raised and cleared as days pass or an act changes the case, and answered."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.access import belongs_to
from services.cases.case_file import queries
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.clocks import LightKey
from services.cases.handling import queries as handling_queries
from services.cases.handling.model import Light
from services.cases.handling.schemas import AnswerLight
from services.cases.journal import Journal
from shared.database.acts import Act
from shared.database.calendar import get_calendar
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
    known = await _known_lights(session, cases)
    raised: list[LightRaised] = []
    cleared: list[LightCleared] = []
    for case in cases:
        must_be_raised = case.raised_lights(at)
        lights = known[case.id]
        raised += _raise_lights(session, case, keys=must_be_raised, lights=lights, at=at)
        cleared += _clear_lights(case, keys=must_be_raised, lights=lights, at=at)
        # The timer need not come again today.
        case.schedule_light_check(at, lights_are_current=True)
    await _write_history(session, [*cleared, *raised], at=at)
    return LightChanges(len(cases), len(raised), len(cleared))


async def _known_lights(
    session: AsyncSession, cases: Sequence[Case]
) -> dict[UUID, dict[LightKey, Light]]:
    """Every light that each of these cases (by id) has had, by one SELECT for all."""
    known: dict[UUID, dict[LightKey, Light]] = {}
    for case in cases:
        known[case.id] = {}
    for light in await handling_queries.list_lights_of(session, list(known)):
        known[light.case_id][light.key] = light
    return known


async def _write_history(
    session: AsyncSession, events: Sequence[LightCleared | LightRaised], *, at: Moment
) -> None:
    journal = Journal(session, at.now)
    for event in events:
        # The action is named by the type of the event: `light.light-raised`.
        fact = event.wire_type.split(".")[2]
        journal.audit(
            f"light.{fact}",
            object_type="light",
            object_id=event.light_id,
            events=[event],
            detail={"rule": event.rule},
        )
    await journal.write()


def _raise_lights(
    session: AsyncSession,
    case: Case,
    *,
    keys: AbstractSet[LightKey],
    lights: Mapping[LightKey, Light],
    at: Moment,
) -> list[LightRaised]:
    """Turn on what must be raised now (`keys`) and is not."""
    raised: list[LightRaised] = []
    # Sorted, because a set has no order: events of one case come in the same order every time.
    for key in sorted(keys, key=lambda key: (key.rule, key.level)):
        # A light of another due date is another light, with an answer of its own.
        light = lights.get(key) or Light.over(case, key)
        if light.may_be_raised:
            session.add(light)
            raised.append(light.turn_on(case, at))
    return raised


def _clear_lights(
    case: Case, *, keys: AbstractSet[LightKey], lights: Mapping[LightKey, Light], at: Moment
) -> list[LightCleared]:
    """Turn off what is raised and must not be any more."""
    cleared: list[LightCleared] = []
    for key, light in lights.items():
        if light.is_raised and key not in keys:
            cleared.append(light.turn_off(case, at))
    return cleared


async def update_due_lights(session: AsyncSession, now: datetime) -> LightChanges:
    """Update the lights of the cases whose day has come: one batch, claimed for this worker."""
    at = Moment(now, await get_calendar(session))
    cases = await handling_queries.list_watched(session, at.today, limit=BATCH)
    if not cases:
        return LightChanges()
    return await update_lights(session, cases, at=at)


async def answer_light(act: Act[Moment], light_id: UUID, *, command: AnswerLight) -> Light:
    """An officer of the department says why, and what is done; the light goes out."""
    light = await handling_queries.get_light(act.session, light_id)
    if not belongs_to(act.caller, light.area_code, department_code=light.department_code):
        raise NotFoundError("no such light of yours")
    # The lock on the case guards its lights: acts and the timer take it as well.
    case = await queries.get_case(act.session, light.case_id, lock=True)
    # The timer may have changed the light before the case was locked.
    await act.session.refresh(light)
    check_version(light.revision, expected=act.expected)
    cleared = light.reply(act.caller.subject, text=command.text, case=case, at=act.at)
    journal = Journal(act.session, act.at.now)
    journal.audit(
        "light.answer",
        object_type="light",
        object_id=light.id,
        events=[cleared],
        reason=command.text,
        detail={"rule": light.rule.value, "level": light.level.value},
    )
    await journal.write()
    return light

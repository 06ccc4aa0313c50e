"""Every act on a case leaves its step in the timeline, its audit row and its events.

Each names the agent and the time.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.cases.case_file.model.states import CaseAct
from shared import clock
from shared.domain.workdays import seed_calendar
from shared.events.base import Envelope
from shared.events.licenses import LicenseChanged, LicenseSuspended
from tests.builders.bundles import LICENCE, TRADE, the_licence, the_trade_register
from tests.cases.conftest import BASE, StackFixture
from tests.cases.test_bundles import NEXT_DOOR, BundleStackFixture
from tests.cases.test_licenses import later, licensed, meeting, tell
from tests.cases.test_materials import promising, replaced, with_gap
from tests.cases.test_suspension import EXTENSION, SUSPENSION
from tests.conftest import ServiceClient, TokenFactory, published

CALENDAR = seed_calendar()
PRINCIPAL, AGENT = str(uuid4()), str(uuid4())
REASONS = {"reasons": "不属于本机关职权范围"}
MISSING = {"items": [{"material_code": "M4", "text": "合同缺少签字页"}]}


class Scene(BundleStackFixture):
    """Plays each act; the applicant always acts through an agent."""

    def __init__(self, client: ServiceClient, token: TokenFactory) -> None:
        super().__init__(client, token)
        self.citizen = token(sub=PRINCIPAL, act={"sub": AGENT}, mandate=str(uuid4()))
        self.administrator = token(kind="staff", roles=["administrator"])

    async def publish_all(self) -> None:
        await self.publish()
        await self.publish_matter(
            TRADE, the_trade_register(department_code=NEXT_DOOR, code=None, local_code="T-1")
        )
        await self.publish_matter(LICENCE, the_licence())
        await self.publish_bundle()


@pytest.fixture
async def scene(client: ServiceClient, token: TokenFactory) -> Scene:
    scene = Scene(client, token)
    await scene.publish_all()
    return scene


Case = dict[str, Any]


async def accept(scene: Scene) -> Case:
    return await scene.accepted()


async def refuse_acceptance(scene: Scene) -> Case:
    clerk = scene.officer("window_clerk")
    return await scene.do(await scene.apply(), "non-acceptance", clerk, REASONS)


async def request_correction(scene: Scene) -> Case:
    clerk = scene.officer("window_clerk")
    return await scene.do(await scene.apply(), "correction-requests", clerk, MISSING)


async def correct(scene: Scene) -> Case:
    case = await request_correction(scene)
    upload = (await scene.upload(scene.citizen)).json()["id"]
    materials = {"materials": [{"code": "M4", "upload_id": upload}]}
    return await scene.do(case, "corrections", scene.citizen, materials)


async def supply(scene: Scene) -> Case:
    await scene.publish(with_gap(), revision=2)
    case = (await scene.post(await promising(scene), scene.citizen)).json()
    case = await scene.do(case, "acceptance", scene.officer("window_clerk"))
    upload = (await scene.upload(scene.citizen)).json()["id"]
    materials = {"materials": [{"code": "M3", "upload_id": upload}]}
    return await scene.do(case, "supplements", scene.citizen, materials)


async def review(scene: Scene) -> Case:
    return await scene.reviewed(times=1)


async def suspend(scene: Scene) -> Case:
    return await scene.do(
        await scene.accepted(), "suspension", scene.officer("approver"), SUSPENSION
    )


async def resume(scene: Scene) -> Case:
    return await scene.do(await suspend(scene), "resumption", scene.officer("approver"))


async def extend(scene: Scene) -> Case:
    head = scene.officer("department_head")
    return await scene.do(await scene.accepted(), "extension", head, EXTENSION)


async def decide(scene: Scene) -> Case:
    leader = scene.officer("leader")
    return await scene.do(await scene.reviewed(), "decision", leader, {"result": "0"})


async def deliver(scene: Scene) -> Case:
    deliverer = scene.officer("delivery")
    return await scene.do(await decide(scene), "delivery", deliverer, {"method": "window"})


async def withdraw(scene: Scene) -> Case:
    return await scene.do(await scene.apply(), "withdrawal", scene.citizen)


async def give_back(scene: Scene) -> Case:
    clerk = scene.officer("window_clerk")
    return await scene.do(await request_correction(scene), "return", clerk, REASONS)


async def receive(scene: Scene) -> Case:
    return await scene.apply()


async def wait(scene: Scene) -> Case:
    return await scene.child(await scene.apply_bundle(), LICENCE)


async def deem_accepted(scene: Scene) -> Case:
    case = await scene.apply()
    today = clock.local_date(clock.now())
    _ = await scene.clocks(CALENDAR.add_working_days(today, 6))
    return case


async def change_due(scene: Scene) -> Case:
    case = await scene.accepted()
    holiday = CALENDAR.add_working_days(clock.local_date(clock.now()), 7)
    day = {"day": holiday.isoformat(), "is_working": False, "note": "市政府通知放假"}
    answer = await scene.client.put(
        f"{BASE}/calendar/days", json={"days": [day]}, headers=scene.administrator
    )
    assert answer.status_code == 200
    return case


async def use_license(scene: Scene) -> Case:
    held = await licensed(scene)
    body = await scene.application(scene.citizen)
    body = replaced(body, "M2", meeting(held, consent=True))
    answer = await scene.post(body, scene.citizen)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def lapse(scene: Scene) -> Case:
    held = await licensed(scene)
    body = replaced(await scene.application(scene.citizen), "M2", meeting(held, consent=True))
    case = (await scene.post(body, scene.citizen)).json()
    await tell(scene, later(held, LicenseSuspended))
    return case


async def restore(scene: Scene) -> Case:
    held = await licensed(scene)
    body = replaced(await scene.application(scene.citizen), "M2", meeting(held, consent=True))
    case = (await scene.post(body, scene.citizen)).json()
    await tell(scene, later(held, LicenseSuspended))
    await tell(scene, later(held, LicenseChanged, 3, change="released"))
    return case


SCENES: dict[CaseAct, tuple[Callable[[Scene], Awaitable[Case]], bool, list[str]]] = {
    CaseAct.ACCEPT: (accept, False, ["case-accepted"]),
    CaseAct.REFUSE_ACCEPTANCE: (refuse_acceptance, False, ["case-not-accepted", "case-closed"]),
    CaseAct.REQUEST_CORRECTION: (request_correction, False, ["correction-requested"]),
    CaseAct.CORRECT: (correct, True, ["case-received"]),
    CaseAct.SUPPLY: (supply, True, []),
    CaseAct.REVIEW: (review, False, []),
    CaseAct.SUSPEND: (suspend, False, ["case-suspended"]),
    CaseAct.RESUME: (resume, False, ["case-resumed"]),
    CaseAct.EXTEND: (extend, False, ["case-extended"]),
    CaseAct.DECIDE: (decide, False, ["case-decided"]),
    CaseAct.DELIVER: (deliver, False, ["result-delivered", "case-closed"]),
    CaseAct.WITHDRAW: (withdraw, True, ["case-withdrawn", "case-closed"]),
    CaseAct.RETURN: (give_back, False, ["case-closed"]),
    CaseAct.RECEIVE: (receive, True, ["case-submitted", "case-received"]),
    CaseAct.WAIT: (wait, True, ["case-submitted"]),
    CaseAct.DEEM_ACCEPTED: (deem_accepted, False, ["case-accepted"]),
    CaseAct.DUE_CHANGED: (change_due, False, ["case-due-changed"]),
    CaseAct.USE_LICENSE: (use_license, True, ["case-license-used"]),
    CaseAct.LICENSE_LAPSED: (lapse, False, ["case-material-lapsed"]),
    CaseAct.LICENSE_RESTORED: (restore, False, []),
}
"""How each act comes about, whether an agent acts, and which events tell of it."""


def test_every_act_has_its_scene() -> None:
    assert SCENES.keys() == set(CaseAct)


async def row_of(stack: StackFixture, statement: str, *values: object) -> asyncpg.Record:
    connection = await stack.client.database.connect()
    row = await connection.fetchrow(statement, *values)
    await connection.close()
    assert row is not None
    return row


def at_time(events: list[Envelope], case_id: str, at: datetime) -> list[Envelope]:
    """The events about the case that happened then."""
    return [
        event
        for event in events
        if event.key == case_id and datetime.fromisoformat(event.data["occurred_at"]) == at
    ]


@pytest.mark.parametrize("act", CaseAct)
async def test_act_leaves_step_audit_and_events_with_agent_and_time(
    scene: Scene, act: CaseAct
) -> None:
    play, by_agent, names = SCENES[act]

    case = await play(scene)

    step = await row_of(
        scene,
        "SELECT * FROM case_step WHERE case_id = $1 AND act = $2 ORDER BY id DESC LIMIT 1",
        UUID(case["id"]),
        act.value,
    )
    trail = await row_of(
        scene,
        "SELECT * FROM audit WHERE object_type = 'case' AND object_id = $1 AND action = $2"
        " ORDER BY id DESC LIMIT 1",
        case["id"],
        f"case.{act}",
    )
    events = at_time(await published(scene.client.database), case["id"], step["at"])
    told = [event.type.split(".")[2] for event in events]
    assert step["agent_id"] == (AGENT if by_agent else None)
    assert (trail["actor"] == AGENT, trail["on_behalf_of"] == PRINCIPAL) == (by_agent, by_agent)
    assert abs(trail["at"] - clock.now()) < timedelta(minutes=1)
    assert [name for name in told if name in names] == names
    assert {event.actor for event in events} <= {trail["actor"]}


async def test_child_that_follows_names_the_agent_whose_act_it_follows(scene: Scene) -> None:
    parent = await scene.apply_bundle()
    second = await scene.child(parent, LICENCE)

    _ = await scene.do(await scene.child(parent, TRADE), "withdrawal", scene.citizen)

    steps = await scene.get(f"files/{second['id']}/timeline", scene.citizen)
    assert [(step["act"], step["agent_id"]) for step in steps] == [
        ("wait", AGENT),
        ("return", AGENT),
    ]
    trail = await row_of(
        scene,
        "SELECT * FROM audit WHERE object_id = $1 AND action = 'case.return'",
        second["id"],
    )
    assert (trail["actor"], trail["on_behalf_of"]) == (AGENT, PRINCIPAL)

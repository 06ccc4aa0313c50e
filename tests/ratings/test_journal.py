"""Every act of ratings leaves its audit row, its step and its events, with who acted and when."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import orjson

from services.ratings.invitations.use_cases.sms import DevelopmentSender
from services.ratings.journal import Action
from services.ratings.rating.model.steps import TicketAct
from services.ratings.timers import publish_ratings, send_invitations, watch_tickets
from shared import clock
from shared.context import Context, using
from shared.events.cases import CaseClosed
from shared.ids import new_id
from tests.builders.ratings import CLOSING, Bureau
from tests.conftest import ClientFactory, Headers, TokenFactory, once
from tests.ratings.giving import BASE, SITE, Giving, a_case, ago, today

TIMER = "timer:ratings"
OFFICER = "018f0000-0000-7000-8000-00000000000a"
DEADLINES = {
    "callback": 1,
    "verify": 3,
    "rectify_simple": 5,
    "rectify_complex": 15,
    "escalation_step": 2,
    "appeal": 3,
    "review": 5,
    "publish": 5,
    "rerate": 5,
}


class Left(NamedTuple):
    """What an act leaves beside its audit row: the types of its events, and its step."""

    events: tuple[str, ...] = ()
    step: TicketAct | None = None


LEFT: dict[Action, Left] = {
    Action.INVITE: Left(("rating-invited",)),
    Action.SEND_INVITATIONS: Left(),
    Action.SHOW_CODE: Left(),
    Action.ORDER_BATCH: Left(),
    Action.DOWNLOAD_BATCH: Left(),
    Action.ROTATE_KEYS: Left(),
    Action.SUBMIT_RATING: Left(("rating-submitted",)),
    Action.JUDGE_RECORDS: Left(("records-judged",)),
    Action.SUPPLEMENT_RATING: Left(("rating-supplemented",)),
    Action.PUBLISH_RATING: Left(("rating-published",)),
    Action.MODERATE_TEXT: Left(),
    Action.OPEN_TICKET: Left(("bad-rating-opened",)),
    Action.VERIFY_TICKET: Left((), TicketAct.VERIFY),
    Action.CALL_BACK: Left(("bad-rating-called-back",), TicketAct.CALL_BACK),
    Action.PLAN_RECTIFICATION: Left((), TicketAct.PLAN),
    Action.APPROVE_RECTIFICATION: Left((), TicketAct.APPROVE),
    Action.COMPLETE_RECTIFICATION: Left(("bad-rating-rectified",), TicketAct.COMPLETE),
    Action.EXPLAIN_TICKET: Left(("bad-rating-rectified",), TicketAct.EXPLAIN),
    Action.GIVE_FEEDBACK: Left((), TicketAct.FEED_BACK),
    Action.RERATE_TICKET: Left(("rating-rerated",), TicketAct.RERATE),
    Action.ESCALATE_TICKET: Left(("bad-rating-escalated",)),
    Action.CLOSE_TICKET: Left(),
    Action.APPEAL_IN_TICKET: Left((), TicketAct.APPEAL),
    Action.REVIEW_IN_TICKET: Left(("rating-excluded",), TicketAct.REVIEW),
    Action.REVEAL_RATER: Left(),
    Action.MAKE_APPEAL: Left((), TicketAct.APPEAL),
    Action.REVIEW_APPEAL: Left(("rating-excluded",), TicketAct.REVIEW),
    Action.SET_DEADLINES: Left(),
}
"""A new act needs its line here, and its case in the scenario below."""


@dataclass
class Scenario:
    """Plays acts and looks at what each of them leaves."""

    giving: Giving
    bureau: Bureau
    played: set[Action] = field(default_factory=set[Action])

    async def _positions(self) -> tuple[int, int, int]:
        """Numbers of audit rows, events and steps so far."""
        (row,) = await self.giving.rows(
            "SELECT (SELECT count(*) FROM audit) AS rows, (SELECT count(*) FROM outbox) AS events,"
            " (SELECT count(*) FROM ticket_step) AS steps"
        )
        return row["rows"], row["events"], row["steps"]

    @asynccontextmanager
    async def act(
        self, *actions: Action, actor: str | None, on_behalf_of: str | None = None
    ) -> AsyncGenerator[None]:
        """The block does these acts; `actor` None for whoever the event names."""
        rows_before, events_before, steps_before = await self._positions()
        started = clock.now()
        yield
        ended = clock.now()
        rows = (await self.giving.rows("SELECT * FROM audit ORDER BY id"))[rows_before:]
        events = [
            orjson.loads(row["payload"])
            for row in (await self.giving.rows("SELECT payload FROM outbox ORDER BY position"))
        ][events_before:]
        steps = (await self.giving.rows("SELECT * FROM ticket_step ORDER BY id"))[steps_before:]

        assert {row["action"] for row in rows} == {action.value for action in actions}
        for row in rows:
            assert actor is None or row["actor"] == actor
            assert row["on_behalf_of"] == on_behalf_of
            assert started <= row["at"] <= ended
            assert row["object_type"] == Action(row["action"]).object_type
            assert row["object_id"]
        kinds = {event["type"].split(".")[-2] for event in events}
        assert kinds == {kind for action in actions for kind in LEFT[action].events}
        for event in events:
            assert actor is None or event["actor"] == actor
            assert event.get("onbehalfof") == on_behalf_of
            assert event["time"]
        assert {step["act"] for step in steps} == {
            LEFT[action].step.value for action in actions if LEFT[action].step
        }
        for step in steps:
            assert started <= step["at"] <= ended
            # Reviewers and raters are not named to the department that reads its steps.
            hidden = step["act"] in {TicketAct.REVIEW, TicketAct.RERATE}
            assert step["officer"] == (None if hidden else actor)
        self.played |= set(actions)

    async def post(self, path: str, headers: Headers, body: Any = None) -> Any:
        answer = await self.giving.client.post(f"{BASE}/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def officer(self, *roles: str, department: str | None = None) -> Headers:
        if department is None:
            return self.bureau.officer(*roles, sub=OFFICER)
        return self.bureau.officer(*roles, sub=OFFICER, department=department)

    async def tokens(self) -> None:
        place = {"area_code": "540100000000", "department_code": "11540100MB0Q01904W"}
        order = {
            **place,
            "hall": "公安专网大厅",
            "window": "Z1",
            "size": 1,
            "expires_on": str(today() + timedelta(days=30)),
        }
        administrator = self.officer("administrator")
        async with self.act(Action.ORDER_BATCH, actor=OFFICER):
            batch = await self.post("token-batches", once(administrator), order)
        async with self.act(Action.DOWNLOAD_BATCH, actor=OFFICER):
            path = f"token-batches/{batch['id']}/download"
            (printed,) = (await self.post(path, administrator))["tokens"]
        async with self.act(Action.ROTATE_KEYS, actor=OFFICER):
            _ = await self.post("signing-keys/rotation", administrator)
        record = {"token": printed["token"], "grade": 5, "rated_at": clock.now().isoformat()}
        actions = (Action.JUDGE_RECORDS, Action.INVITE, Action.SUBMIT_RATING)
        async with self.act(*actions, actor=None):
            (verdict,) = await self.giving.record([{**record, **SITE}])
        assert verdict["status"] == "accepted"

    async def rating(self) -> None:
        owner, agent = str(new_id()), str(new_id())
        case = a_case(CaseClosed, account_id=owner, occurred_at=ago(hours=2))
        async with self.act(Action.INVITE, actor=None):
            await self.giving.tell(case)
        async with self.act(Action.SEND_INVITATIONS, actor=TIMER):
            with using(Context(actor=TIMER)):
                _ = await send_invitations(
                    self.giving.client.database,
                    clock.now(),
                    sender=DevelopmentSender(),
                    public_url="http://test",
                )
        clerk = self.officer("window_clerk")
        (event,) = await self.giving.get("service-events", clerk, case_number="C-1")
        async with self.act(Action.SHOW_CODE, actor=OFFICER):
            path = f"{BASE}/invitation-codes/{event['id']}"
            assert (await self.giving.client.get(path, headers=clerk)).status_code == 200
        acting = self.giving.token(sub=owner, act={"sub": agent})
        actions = (Action.SUBMIT_RATING, Action.OPEN_TICKET)
        async with self.act(*actions, actor=agent, on_behalf_of=owner):
            rating = await self.giving.rated(acting, case_number="C-1", grade=1)
        async with self.act(Action.SUPPLEMENT_RATING, actor=agent, on_behalf_of=owner):
            path = f"ratings/{rating['id']}/supplements"
            _ = await self.post(path, acting, {"text": "补充说明一下"})

    async def loop(self) -> None:
        bureau = self.bureau
        handler = self.officer("rating_handler")
        ticket = await bureau.open()
        async with self.act(Action.VERIFY_TICKET, actor=OFFICER):
            ticket = await bureau.verify(ticket)
        async with self.act(Action.CALL_BACK, actor=OFFICER):
            ticket = await bureau.call(ticket)
        async with self.act(Action.PLAN_RECTIFICATION, actor=OFFICER):
            more = {"kind": "complex", "reason": "需要协调多个部门", "ledger": "TZ-1"}
            ticket = await bureau.plan(ticket, **more)
        async with self.act(Action.APPROVE_RECTIFICATION, actor=OFFICER):
            head = self.officer("department_head")
            ticket = await bureau.do(ticket, "rectification/approval", head)
        async with self.act(Action.COMPLETE_RECTIFICATION, actor=OFFICER):
            ticket = await bureau.complete(ticket)
        async with self.act(Action.GIVE_FEEDBACK, actor=OFFICER):
            ticket = await bureau.feed_back(ticket)
        async with self.act(Action.REVEAL_RATER, actor=OFFICER):
            path = f"tickets/{ticket['id']}/reveals"
            _ = await self.post(path, handler, {"reason": "电话回访评价人"})
        agent = str(new_id())
        acting = bureau.token(sub=bureau.owner, act={"sub": agent})
        async with self.act(Action.RERATE_TICKET, actor=agent, on_behalf_of=bureau.owner):
            _ = await bureau.do(ticket, "re-rating", acting, {"grade": 5})
        other = await bureau.call(await bureau.verify(await bureau.open()))
        async with self.act(Action.EXPLAIN_TICKET, actor=OFFICER):
            _ = await bureau.do(other, "explanation", body=CLOSING)

    async def appeal(self) -> None:
        bureau = self.bureau
        ticket = await bureau.open()
        async with self.act(Action.MAKE_APPEAL, Action.APPEAL_IN_TICKET, actor=OFFICER):
            appeal = await bureau.appeal(ticket)
        appeal = await bureau.review(appeal)
        reviewer = self.officer("auditor", department="11540100MB0Q01905U")
        opinion = {"agrees": True, "reasons": "查阅叫号与监控记录"}
        async with self.act(Action.REVIEW_APPEAL, Action.REVIEW_IN_TICKET, actor=OFFICER):
            answer = await bureau.act(appeal, "appeals/{id}/reviews", reviewer, opinion)
            assert answer.status_code == 200, answer.text

    async def time(self) -> None:
        bureau = self.bureau
        database = self.giving.client.database
        _ = await bureau.rectified(await bureau.open())
        with using(Context(actor=TIMER)):
            async with self.act(Action.ESCALATE_TICKET, Action.CLOSE_TICKET, actor=TIMER):
                _ = await watch_tickets(database, clock.now() + timedelta(days=30))
            async with self.act(Action.PUBLISH_RATING, actor=TIMER):
                _ = await publish_ratings(database, clock.now() + timedelta(days=60))
        (shown, *_) = (await self.giving.get("published"))["items"]
        handler = self.officer("rating_handler")
        publication = await self.giving.get(f"publications/{shown['id']}", handler)
        async with self.act(Action.MODERATE_TEXT, actor=OFFICER):
            tagged = {**handler, "If-Match": f'"{publication["revision"]}"'}
            body = {"reason": "insult", "words": "含有侮辱性词语"}
            _ = await self.post(f"publications/{shown['id']}/moderation", tagged, body)

    async def deadlines(self) -> None:
        async with self.act(Action.SET_DEADLINES, actor=OFFICER):
            answer = await self.giving.client.put(
                f"{BASE}/deadlines", json=DEADLINES, headers=self.officer("administrator")
            )
            assert answer.status_code == 200, answer.text


async def test_every_act_leaves_its_history_with_agent_and_time(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    client = await client_of("ratings", development=True, public_url="http://test")
    scenario = Scenario(Giving(client, token), Bureau(client, token))

    await scenario.tokens()
    await scenario.rating()
    await scenario.loop()
    await scenario.appeal()
    await scenario.time()
    await scenario.deadlines()

    assert scenario.played == set(Action) == set(LEFT)

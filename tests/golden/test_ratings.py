"""Ratings (好差评): invitations, credentials, tokens, tickets, appeals, figures, publication."""

from typing import Any

import pytest

from tests.conftest import Headers
from tests.golden import inputs
from tests.golden.inputs import NEXT_DOOR
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Answer, Golden, Played

PHONE = "13989001234"
CONTACT = {"name": "卓玛央金", "phone": PHONE}
SITE: dict[str, Any] = {"pf": "1", "sub_channel": "site"}
SMS: dict[str, Any] = {"pf": "7", "sub_channel": "sms_link"}
PLACE = {"area_code": CITY, "department_code": DEPARTMENT, "hall": "公安专网大厅", "window": "Z1"}
CLOSING = {
    "root_cause": "attitude",
    "words": "窗口人员当日未按规范服务",
    "action": "已约谈并安排服务礼仪培训",
}


class Giving:
    """The ratings service with signing keys that never change."""

    def __init__(self, golden: Golden, played: Played) -> None:
        self.golden = golden
        self.ratings = played
        self.clerk = golden.as_.staff("window_clerk", number=101)
        self.handler = golden.as_.staff("rating_handler", number=111)
        self.head = golden.as_.staff("department_head", number=106)
        self.supervisor = golden.as_.staff("supervisor", number=110, department=NEXT_DOOR)
        self.operator = golden.as_.staff("hotline_operator", number=112, department="12345")
        self.administrator = golden.as_.administrator()
        self.system = golden.as_.system("ratings:push")
        self.applicant = golden.as_.person(1)
        self._events = 0
        self._keys = 0

    def key(self) -> str:
        self._keys += 1
        return f"rating-{self._keys}"

    async def tell(self, fact: str, case: int = 1, **changes: Any) -> None:
        """A case was accepted or closed."""
        self._events += 1
        common = {
            "accepted_on": "2026-03-09",
            "deemed": False,
            "promised_due_on": None,
            "legal_due_on": None,
            "state": "closed",
            "result": "0",
            "closed_on": "2026-03-09",
            "overdue": False,
            "contact": inputs.seal_for(CONTACT, "case.contact"),
        }
        await self.ratings.take(
            inputs.case_event(self._events, fact, case=case, **{**common, **changes})
        )

    async def links(self) -> list[str]:
        """The tokens that were sent by SMS, the newest first."""
        await self.ratings.timer("sms")
        sent = await self.ratings.get("development/sms-messages", self.administrator, phone=PHONE)
        return [message["text"].rpartition("/rate/")[2] for message in sent.json]

    async def invited(self, case: int = 1, **changes: Any) -> str:
        self.golden.clock.wait(1)  # messages of one moment come in no order
        await self.tell("case-closed", case, **changes)
        return (await self.links())[0]

    async def rate(self, caller: Headers | None = None, **said: Any) -> Answer:
        return await self.ratings.post("ratings", caller, body={"grade": 5, **SITE, **said})

    async def ticket_of(self, token: str) -> str:
        return str((await self.ratings.get(f"invitations/{token}")).json["ticket"]["id"])

    async def act(
        self,
        path: str,
        ticket: str,
        *,
        caller: Headers | None = None,
        body: Any = None,
        headers: Headers | None = None,
    ) -> Answer:
        """One act on a ticket, at its present version."""
        ((revision,),) = await self.ratings.fetch(
            "SELECT revision FROM ticket WHERE id = $1::text::uuid", ticket
        )
        return await self.ratings.post(
            f"tickets/{ticket}/{path}", caller, body=body, version=revision, headers=headers
        )


@pytest.fixture
async def giving(golden: Golden) -> Giving:
    golden.normaliser.tokens_are_stable = True
    played = await golden.service("ratings", development=True, public_url="http://test")
    for state, kid, seed in (("current", "0a0b0c01", 11), ("next", "0a0b0c02", 12)):
        private, public = inputs.signing_key(kid, seed)
        await played.execute(
            "INSERT INTO signing_key (kid, state, private_key, public_key, created_at)"
            " VALUES ($1, $2, $3, $4, '2026-01-01')",
            kid,
            state,
            private,
            public,
        )
    return Giving(golden, played)


async def finish(giving: Giving) -> None:
    giving.golden.section("Tables")
    _ = await giving.ratings.get("statistics/recount", giving.administrator)
    await giving.ratings.dump()
    giving.golden.check()


async def test_invitations(giving: Giving) -> None:
    ratings, golden = giving.ratings, giving.golden
    golden.section("Accepted and closed, with and without phone and account")
    await giving.tell("case-accepted")
    await giving.tell("case-closed")
    await giving.tell("case-closed")
    await giving.tell("case-closed", 2, account_id=None, contact=None)
    await giving.tell("case-closed", 3, state="withdrawn", result=None)
    imported = {
        "source_system": "fangguan",
        "source_number": "FG-1",
        "source_version": 1,
        "received_on": "2026-03-02",
        "account_id": None,
    }
    await giving.tell("case-imported", 4, **imported)
    await giving.tell("case-imported", 5, **{**imported, "closed_on": "2025-01-02"})
    tokens = await giving.links()
    for token in tokens:
        _ = await ratings.get(f"invitations/{token}")
    _ = await ratings.call("GET", f"invitations/{tokens[0]}", headers={"Accept-Language": "bo"})
    own = await ratings.get("invitations", giving.applicant)
    _ = await ratings.get(f"invitation-codes/{own.json['items'][0]['id']}", giving.applicant)
    number = f"{inputs.MATTER_CODE}202603020001"
    _ = await ratings.get("service-events", giving.clerk, case_number=number)

    golden.section("A visit by its queue number")
    visit = {
        "hall": "市政务服务大厅",
        "window": "A03",
        "queue_number": "A1023",
        "day": "2026-03-10",
    }
    _ = await ratings.post("visits", giving.clerk, body=visit, key=giving.key())
    _ = await ratings.post(
        "visits", giving.clerk, body={**visit, "day": "2026-03-09"}, key=giving.key()
    )

    golden.section("The calendar changes")
    days = {
        "revision": 1,
        "occurred_at": "2026-03-10T01:00:00+00:00",
        "days": {"2026-03-12": False},
    }
    await ratings.take(
        inputs.event(90, "cases", fact="calendar-changed", key="calendar", data=days)
    )
    await giving.tell("case-closed", 6)
    _ = await ratings.get("keys")
    _ = await ratings.get("tags")
    await finish(giving)


async def test_credentials(giving: Giving) -> None:
    golden, ratings = giving.golden, giving.ratings
    golden.section("By link")
    link = await giving.invited()
    said: dict[str, Any] = {
        "tags": ["517"],
        "contents": {"attitude": 5},
        "text": "窗口师傅很耐心, 电话13989001234",
        **SMS,
    }
    first = await giving.rate(token=link, **said)
    _ = await giving.rate(token=link, **said)
    _ = await giving.rate(token=link, grade=1)
    _ = await ratings.get(f"ratings/{first.json['id']}", giving.handler)
    words = {"text": "后来又去了一次, 卓玛央金谢谢大家", "token": link}
    _ = await ratings.post(f"ratings/{first.json['id']}/supplements", None, body=words)
    _ = await ratings.post(f"ratings/{first.json['id']}/supplements", None, body=words)

    golden.section("By account")
    await giving.tell("case-closed", 2)
    number = f"{inputs.MATTER_CODE}202603020002"
    _ = await giving.rate(
        giving.applicant, case_number=number, pf="2", sub_channel="app", real_name=False
    )
    _ = await ratings.get("ratings/mine", giving.applicant)

    golden.section("By telephone")
    await giving.tell("case-closed", 3)
    call: dict[str, Any] = {
        "case_number": f"{inputs.MATTER_CODE}202603020003",
        "pf": "6",
        "sub_channel": "hotline_12345",
    }
    _ = await giving.rate(giving.operator, phone_last4="0000", **call)
    _ = await giving.rate(giving.operator, phone_last4="1234", grade=3, **call)

    golden.section("By a window's code, and by what it is exchanged for")
    shown = await ratings.get("window-codes", giving.clerk, hall="市政务服务大厅", window="A03")
    scanned: dict[str, Any] = {"pf": "3", "sub_channel": "window_qr"}
    _ = await giving.rate(token=shown.json["code"], device="phone-0001", **scanned)
    offer = await ratings.get(f"invitations/{shown.json['code']}")
    _ = await giving.rate(token=offer.json["rating_token"], device="phone-0002", grade=4, **scanned)
    _ = await giving.rate(token=shown.json["code"], **scanned)

    golden.section("By a queue number")
    visit = {
        "hall": "市政务服务大厅",
        "window": "A03",
        "queue_number": "A1023",
        "day": "2026-03-10",
    }
    invited = await ratings.post("visits", giving.clerk, body=visit, key=giving.key())
    queue = invited.json["link"].rpartition("/rate/")[2]
    _ = await giving.rate(token=queue, pf="4", sub_channel="tablet", terminal="T-1")

    golden.section("Refusals")
    _ = await giving.rate(token=link[:-6] + "AAAAAA")
    _ = await giving.rate(giving.clerk, token=link)
    _ = await giving.rate()
    _ = await giving.rate(token="x", pf="5", sub_channel="app", grade=7, tags=["101"])
    late = await giving.invited(5)
    golden.clock.move("2026-04-20T10:00")
    _ = await giving.rate(token=late)
    _ = await giving.rate(token=shown.json["code"], device="phone-0003", **scanned)
    _ = await ratings.get("suspect-ratings", giving.handler)
    await finish(giving)


async def test_printed_tokens(giving: Giving) -> None:
    golden, ratings = giving.golden, giving.ratings
    golden.clock.move("2026-03-05T10:00")
    golden.section("Ordered")
    order = {**PLACE, "size": 4, "expires_on": "2026-05-01"}
    ordered = await ratings.post("token-batches", giving.system, body=order, key=giving.key())
    _ = await ratings.post(
        "token-batches", giving.system, body={**order, "size": 0}, key=giving.key()
    )
    batch = fixed(7001)
    await ratings.execute(
        "UPDATE token_batch SET id = $1::text::uuid WHERE id = $2::text::uuid",
        batch,
        ordered.json["id"],
    )
    _ = await ratings.get("token-batches", giving.system)
    _ = await ratings.get(f"token-batches/{batch}", giving.administrator)
    printed = await ratings.post(f"token-batches/{batch}/download", giving.system)
    _ = await ratings.post(f"token-batches/{batch}/download", giving.system)
    tokens = [one["token"] for one in printed.json["tokens"]]

    golden.section("Redeemed")
    golden.clock.move("2026-03-10T09:30")
    tablet: dict[str, Any] = {"pf": "4", "sub_channel": "tablet", "terminal": "Z1-7"}
    _ = await ratings.get(f"invitations/{tokens[0]}")
    _ = await giving.rate(token=tokens[0], grade=3, **tablet)
    _ = await giving.rate(token=tokens[0], grade=3, **tablet)

    golden.section("Redeemed inside a private network")
    await giving.tell("case-closed", 8)

    def record(token: str, **changes: Any) -> dict[str, Any]:
        said = {
            "token": token,
            "rated_at": "2026-03-09T10:00:00+08:00",
            "grade": 4,
            "tags": ["413"],
            **tablet,
        }
        return {**said, **changes}

    records = [
        record(tokens[1]),
        record(tokens[1], grade=1),
        record(tokens[0], rated_at="2026-03-10T09:00:00+08:00"),
        record(tokens[2], case_number=f"{inputs.MATTER_CODE}202603020008", grade=2, tags=[]),
        record(tokens[3], case_number="ANOTHER-1", text="很好"),
        record("eyJhbGciOiJFZERTQSJ9.e30.AAAA"),
        record(tokens[3], pf="9"),
        ["nothing"],
    ]
    await ratings.take(inputs.records_received(20, "ratings", records=records, peer_code="gongan"))
    await ratings.take(
        inputs.records_received(
            21, "ratings", records=records, peer_code="gongan", chunk=2, first_row=9
        )
    )

    golden.section("Another key")
    _ = await ratings.post("signing-keys/rotation", giving.administrator)
    golden.normaliser.random |= {
        "signing_key.private_key",
        "signing_key.public_key",
        "signing_key.kid",
    }
    await giving.tell("case-closed", 9)
    _ = await giving.links()
    await finish(giving)


async def test_tickets(giving: Giving) -> None:
    golden = giving.golden
    bad: dict[str, Any] = {"grade": 1, "tags": ["110"], "text": "窗口互相推, 跑了三趟", **SMS}
    less_bad: dict[str, Any] = {**bad, "grade": 2, "tags": ["207"]}
    anonymous: dict[str, Any] = {**bad, "real_name": False}
    golden.section("A simple rectification, judged again")
    token = await giving.invited()
    _ = await giving.rate(token=token, **bad)
    ticket = await giving.ticket_of(token)
    _ = await giving.ratings.get("tickets", giving.handler)
    _ = await giving.ratings.post(
        f"tickets/{ticket}/reveals", giving.handler, body={"reason": "电话回访核实情况"}
    )
    _ = await giving.act(
        "callbacks", ticket, caller=giving.handler, body={"reached": False, "words": "无人接听"}
    )
    _ = await giving.act(
        "callbacks", ticket, caller=giving.handler, body={"reached": True, "words": "已电话回访"}
    )
    _ = await giving.act(
        "verification", ticket, caller=giving.handler, body={"confirmed": True, "words": "情况属实"}
    )
    _ = await giving.act("rectification/completion", ticket, caller=giving.handler, body=CLOSING)
    _ = await giving.act(
        "rectification", ticket, caller=giving.handler, body={"kind": "simple", "words": "立即整改"}
    )
    _ = await giving.act(
        "rectification/completion",
        ticket,
        caller=giving.handler,
        body={**CLOSING, "action": "请拨13989001234"},
    )
    golden.clock.move("2026-03-11T10:00")
    _ = await giving.act("rectification/completion", ticket, caller=giving.handler, body=CLOSING)
    _ = await giving.act(
        "feedback", ticket, caller=giving.handler, body={"by": "phone", "words": "已告知整改结果"}
    )
    own = {"Rating-Token": token}
    _ = await giving.ratings.call("GET", f"tickets/{ticket}/outcome", headers=own)
    _ = await giving.act("re-rating", ticket, caller=None, body={"grade": 4}, headers=own)
    _ = await giving.ratings.get(f"tickets/{ticket}", giving.handler)

    golden.section("A complex rectification, not good enough: reopened")
    token = await giving.invited(2)
    _ = await giving.rate(token=token, **less_bad)
    ticket = await giving.ticket_of(token)
    _ = await giving.act(
        "callbacks", ticket, caller=giving.handler, body={"reached": True, "words": "已电话回访"}
    )
    _ = await giving.act(
        "verification", ticket, caller=giving.handler, body={"confirmed": True, "words": "情况属实"}
    )
    plan = {
        "kind": "complex",
        "words": "需改造系统",
        "reason": "涉及外部系统改造",
        "ledger": "TZ-2026-01",
    }
    _ = await giving.act(
        "rectification", ticket, caller=giving.handler, body={**plan, "ledger": None}
    )
    _ = await giving.act("rectification", ticket, caller=giving.handler, body=plan)
    _ = await giving.act("rectification/approval", ticket, caller=giving.head)
    _ = await giving.act(
        "rectification/completion",
        ticket,
        caller=giving.handler,
        body={**CLOSING, "root_cause": "system_fault"},
    )
    _ = await giving.act(
        "feedback", ticket, caller=giving.handler, body={"by": "online", "words": "已告知整改结果"}
    )
    await giving.ratings.dump("ticket")
    _ = await giving.ratings.get("own-tickets", giving.applicant)
    _ = await giving.act("re-rating", ticket, caller=giving.applicant, body={"grade": 1})

    golden.section("Explained, and nobody answers")
    token = await giving.invited(3)
    _ = await giving.rate(token=token, **anonymous)
    ticket = await giving.ticket_of(token)
    _ = await giving.act(
        "verification",
        ticket,
        caller=giving.handler,
        body={"confirmed": False, "words": "没有法律依据"},
    )
    _ = await giving.act(
        "explanation", ticket, caller=giving.handler, body={**CLOSING, "root_cause": "policy"}
    )
    _ = await giving.act(
        "feedback", ticket, caller=giving.handler, body={"by": "online", "words": "已告知"}
    )
    golden.section("Nobody does anything: escalated")
    token = await giving.invited(4)
    _ = await giving.rate(token=token, **bad)
    for day in ("2026-03-13", "2026-03-17", "2026-03-20", "2026-04-10", "2026-05-20"):
        golden.clock.move(f"{day}T10:00")
        await giving.ratings.timer("tickets")
        await giving.ratings.timer("publication")
    _ = await giving.ratings.get("tickets", giving.supervisor, overdue="true")

    as_of = {"as_of": "2026-08-01T10:00:00+08:00"}
    _ = await giving.ratings.post("development/timer-runs", giving.administrator, body=as_of)

    golden.section("Deadlines")
    deadlines = await giving.ratings.get("deadlines", giving.handler)
    _ = await giving.ratings.put(
        "deadlines", giving.administrator, body={**deadlines.json, "callback": 2}
    )
    _ = await giving.ratings.put(
        "deadlines", giving.administrator, body={**deadlines.json, "callback": 0}
    )
    await finish(giving)


async def test_appeals(giving: Giving) -> None:
    golden = giving.golden
    auditor = [golden.as_.staff("auditor", number=120 + n, department=NEXT_DOOR) for n in range(3)]
    agree = {"agrees": True, "reasons": "查阅叫号与监控记录"}
    golden.section("Upheld by two")
    token = await giving.invited()
    rating = (
        await giving.rate(token=token, grade=1, tags=["110"], text="从来没有办过", **SMS)
    ).json
    ticket = await giving.ticket_of(token)
    appeal = await giving.act(
        "appeal",
        ticket,
        caller=giving.handler,
        body={"ground": "malicious", "reasons": "评价人并未办理该事项"},
    )
    path = f"appeals/{appeal.json['id']}"
    _ = await giving.ratings.get("appeals", auditor[0])
    _ = await giving.ratings.post(f"{path}/reviews", auditor[0], body=agree, version=appeal.version)
    _ = await giving.ratings.post(
        f"{path}/reviews", auditor[0], body=agree, version=appeal.version + 1
    )
    _ = await giving.ratings.post(
        f"{path}/reviews", auditor[1], body=agree, version=appeal.version + 1
    )
    _ = await giving.ratings.get(path, giving.handler)
    _ = await giving.ratings.get("excluded", auditor[0])
    _ = await giving.ratings.get(f"ratings/{rating['id']}", giving.applicant)

    golden.section("Refused")
    token = await giving.invited(2)
    _ = await giving.rate(token=token, grade=2, **SMS)
    ticket = await giving.ticket_of(token)
    appeal = await giving.act(
        "appeal",
        ticket,
        caller=giving.handler,
        body={"ground": "mistaken", "reasons": "点错了星级的评价"},
    )
    path = f"appeals/{appeal.json['id']}"
    _ = await giving.ratings.post(
        f"{path}/reviews", giving.handler, body=agree, version=appeal.version
    )
    _ = await giving.ratings.post(
        f"{path}/reviews", auditor[2], body={**agree, "agrees": False}, version=appeal.version
    )
    _ = await giving.ratings.get(f"tickets/{ticket}", giving.handler)
    await finish(giving)


async def test_figures_and_publication(giving: Giving) -> None:
    golden, ratings = giving.golden, giving.ratings
    golden.clock.move("2026-03-05T10:00")
    golden.section("Fourteen ratings")
    for case in range(1, 15):
        department = DEPARTMENT
        if case > 12:
            department = NEXT_DOOR
        contact = inputs.seal_for({"name": f"德吉{case}", "phone": PHONE}, "case.contact")
        await giving.tell(
            "case-closed",
            case,
            department_code=department,
            closed_on="2026-03-04",
            occurred_at="2026-03-04T03:00:00+00:00",
            contact=contact,
        )
    tokens = await giving.links()
    # Of one moment: they came in no order.
    by_case = sorted(tokens)
    for number, token in enumerate(by_case):
        said: dict[str, Any] = {}
        if number % 4 == 0:
            said = {"text": f"第{number}次, 窗口很耐心"}
        _ = await giving.rate(token=token, grade=4 if number % 3 else 5, **SMS, **said)

    golden.section("Figures of staff")
    questions: tuple[dict[str, Any], ...] = (
        {},
        {"group_by": ["department"]},
        {"group_by": ["month", "channel"]},
        {"channel": "7"},
    )
    for asked in questions:
        _ = await ratings.get("statistics", giving.supervisor, **asked)
    _ = await ratings.get("statistics", giving.handler, department=NEXT_DOOR)

    golden.section("Published")
    golden.clock.move("2026-04-02T10:00")
    await ratings.timer("publication")
    page = await ratings.get("published", limit=2)
    _ = await ratings.get("published", limit=2, cursor=page.json["next"])
    _ = await ratings.get("published", window="A03")
    questions = (
        {"first": "2026-03", "last": "2026-03"},
        {"group_by": ["department"]},
        {"last": "2026-04"},
    )
    for asked in questions:
        _ = await ratings.get("published/statistics", **asked)
    _ = await ratings.get("published/statistics.csv", group_by=["department", "channel"])

    golden.section("Words taken from view, and back")
    auditor = golden.as_.staff("auditor", number=120)
    path = f"publications/{page.json['items'][0]['id']}"
    shown = await ratings.get(path, auditor)
    hide = {"reason": "insult", "words": "含有侮辱性内容"}
    hidden = await ratings.post(f"{path}/moderation", auditor, body=hide, version=shown.version)
    _ = await ratings.post(f"{path}/moderation", auditor, body=hide, version=hidden.version)
    _ = await ratings.get("published", limit=1)
    back = {"reason": "restored", "words": "复核后恢复展示"}
    _ = await ratings.post(f"{path}/moderation", auditor, body=back, version=hidden.version)
    await finish(giving)

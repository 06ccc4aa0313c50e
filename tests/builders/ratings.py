"""Invitations and ratings as the first half of the service stores them.

Also everybody who works on them.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.journal import Journal
from services.ratings.rating.model.channels import Pf, SubChannel
from services.ratings.rating.model.rating import Rating, Source
from services.ratings.rating.model.service_event import Stage
from services.ratings.rating.model.suspicions import Suspicion
from services.ratings.statistics import use_cases as statistics
from services.ratings.statistics.model.counts import figures_of_rating
from services.ratings.tickets.queries.tickets import find_ticket_of
from services.ratings.tickets.use_cases.opening import follow_rating
from services.ratings.timers import publish_ratings, watch_tickets
from shared import clock
from shared.domain.workdays import Moment, seed_calendar
from shared.ids import new_id
from tests.builders.matters import CITY, CODE, DEPARTMENT
from tests.conftest import Headers, ServiceClient, TokenFactory

BASE = "/api/v1/ratings"
CALENDAR = seed_calendar()
RATER = {"contact_name": "德吉措姆", "phone": "13989007788"}
CLOSING = {
    "root_cause": "attitude",
    "words": "窗口人员当日未按规范服务",
    "action": "已约谈并安排服务礼仪培训",
}


def at(text: str) -> datetime:
    """`2026-06-08` or `2026-06-08T10:00`, in the city."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T10:00").replace(
        tzinfo=clock.SHANGHAI
    )


def moment(when: datetime) -> Moment:
    return Moment(when, CALENDAR)


def an_invitation(when: datetime, **changes: Any) -> Invitation:
    """Somebody may rate how a case of the market bureau was closed."""
    identifier = new_id()
    values: dict[str, Any] = {
        "id": identifier,
        "revision": 1,
        "stage": Stage.CLOSING,
        "case_id": new_id(),
        "case_number": f"T{identifier.hex}",
        "service_number": 1,
        "visit": None,
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": None,
        "matter_code": CODE,
        "matter_name": "我要开茶馆",
        "hall": "H1",
        "window": "3",
        "account_id": None,
        "token_hash": hashlib.sha256(identifier.bytes).hexdigest(),
        "invited_at": when,
        "open_until": clock.local_date(when),
        "rated_at": None,
        **RATER,
        **changes,
    }
    values["stage"] = Stage(values["stage"])
    return Invitation(**values)


def a_rating(invitation: Invitation, when: datetime, **changes: Any) -> Rating:
    """5 stars without words, by the mini-program, under a real name."""
    copied = (
        "stage case_id case_number service_number area_code department_code"
        " matter_id matter_code matter_name hall window account_id"
    )
    words = changes.get("text")
    values: dict[str, Any] = {
        "id": new_id(),
        "invitation_id": invitation.id,
        "revision": 1,
        **{name: getattr(invitation, name) for name in copied.split()},
        "grade": 5,
        "tags": [],
        "dictionary": "2023",
        "contents": {},
        "text": words,
        "masked_text": words,
        "pf": Pf.MOBILE,
        "sub_channel": SubChannel.MINI_PROGRAM,
        "terminal": None,
        "real_name": True,
        "suspicions": [],
        "supplements": [],
        "rated_at": when,
        "rated_on": clock.local_date(when),
        "source": Source.LINK,
        **changes,
    }
    values["pf"] = Pf(values["pf"])
    values["sub_channel"] = SubChannel(values["sub_channel"])
    values["suspicions"] = [Suspicion(one) for one in values["suspicions"]]
    return Rating(**values)


@dataclass
class Bureau:
    """Plays the loop: ratings come in, officers act over HTTP, time is told to the timers."""

    client: ServiceClient
    token: TokenFactory
    owner: str = field(default_factory=lambda: str(new_id()))

    def officer(
        self, *roles: str, area: str = CITY, department: str = DEPARTMENT, **more: Any
    ) -> Headers:
        return self.token(kind="staff", roles=list(roles), area=area, department=department, **more)

    @property
    def handler(self) -> Headers:
        return self.officer("rating_handler", sub="018f0000-0000-7000-8000-00000000000a")

    @property
    def rater(self) -> Headers:
        return self.token(sub=self.owner)

    async def invite(self, when: datetime, **changes: Any) -> Invitation:
        """An invitation, counted."""
        invitation = an_invitation(when, **{"account_id": UUID(self.owner), **changes})
        async with self.client.database.transaction() as session:
            session.add(invitation)
            await statistics.count_invitations(session, [invitation])
        return invitation

    async def rate(
        self, when: datetime, invitation: dict[str, Any] | None = None, **changes: Any
    ) -> Rating:
        """A rating as the service stores it: stored, followed and counted in one transaction."""
        invited = await self.invite(when, **(invitation or {}))
        rating = a_rating(invited, when, **changes)
        async with self.client.database.transaction() as session:
            session.add(rating)
            await session.flush()
            journal = Journal(session)
            await follow_rating(session, rating, journal=journal, at=moment(when))
            journal.count_rating(rating, before=Counter(), after=figures_of_rating(rating))
            await journal.write()
        return rating

    async def ticket_id(self, rating: Rating) -> str:
        async with self.client.database.reading() as session:
            ticket = await find_ticket_of(session, rating.id)
        assert ticket is not None
        return str(ticket.id)

    async def open(self, when: datetime | None = None, **changes: Any) -> dict[str, Any]:
        """The ticket of a new bad rating."""
        values: dict[str, Any] = {"grade": 1, "text": "态度差", **changes}
        rating = await self.rate(when or clock.now(), **values)
        return await self.get(f"tickets/{await self.ticket_id(rating)}", self.handler)

    async def get(self, path: str, headers: Headers | None = None, **params: Any) -> Any:
        answer = await self.client.get(f"{BASE}/{path}", params=params, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(
        self, of: dict[str, Any], path: str, headers: Headers, body: Any = None
    ) -> httpx.Response:
        """POST below a ticket, at the version that `of` shows."""
        tagged = {**headers, "If-Match": f'"{of["revision"]}"'}
        return await self.client.post(f"{BASE}/{path.format(**of)}", json=body, headers=tagged)

    async def do(
        self, ticket: dict[str, Any], act: str, headers: Headers | None = None, body: Any = None
    ) -> Any:
        answer = await self.act(ticket, f"tickets/{{id}}/{act}", headers or self.handler, body)
        assert answer.is_success, answer.text
        return answer.json()

    async def verify(self, ticket: dict[str, Any]) -> dict[str, Any]:
        return await self.do(ticket, "verification", body={"confirmed": True, "words": "情况属实"})

    async def call(self, ticket: dict[str, Any], *, reached: bool = True) -> dict[str, Any]:
        return await self.do(ticket, "callbacks", body={"reached": reached, "words": "电话回访"})

    async def plan(self, ticket: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return await self.do(
            ticket, "rectification", body={"kind": "simple", "words": "立即整改", **changes}
        )

    async def complete(self, ticket: dict[str, Any]) -> dict[str, Any]:
        return await self.do(ticket, "rectification/completion", body=CLOSING)

    async def feed_back(self, ticket: dict[str, Any]) -> dict[str, Any]:
        return await self.do(ticket, "feedback", body={"by": "phone", "words": "已告知整改结果"})

    async def rectified(self, ticket: dict[str, Any]) -> dict[str, Any]:
        """Verified, called back, planned, put right and told."""
        ticket = await self.call(await self.verify(ticket))
        return await self.feed_back(await self.complete(await self.plan(ticket)))

    async def rerate(self, ticket: dict[str, Any], grade: int) -> Any:
        return await self.do(ticket, "re-rating", self.rater, {"grade": grade})

    async def appeal(self, ticket: dict[str, Any], ground: str = "malicious") -> dict[str, Any]:
        return await self.do(
            ticket, "appeal", body={"ground": ground, "reasons": "评价人并未办理该事项"}
        )

    def reviewer(self, role: str = "auditor", **more: Any) -> Headers:
        return self.officer(role, department="11540100MB0Q01905U", **more)

    async def review(self, appeal: dict[str, Any], *, agrees: bool = True) -> dict[str, Any]:
        """By a reviewer who has not been there before."""
        answer = await self.act(
            appeal,
            "appeals/{id}/reviews",
            self.reviewer(),
            {"agrees": agrees, "reasons": "查阅叫号与监控记录"},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def tick(self, when: datetime) -> None:
        """Every timer, as if it were `when`."""
        _ = await watch_tickets(self.client.database, when)
        _ = await publish_ratings(self.client.database, when)

    async def recounted(self) -> dict[str, Any]:
        return await self.get("statistics/recount", self.officer("administrator"))

"""What the daily report tells of licences, ratings and exchange."""

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.events.base import Event
from shared.events.exchange import BatchFinished, RecordsPushed
from shared.events.licenses import LicenseChanged, LicenseIssued, LicenseRevoked, LicenseUsed
from shared.events.ratings import (
    BadRatingCalledBack,
    BadRatingEscalated,
    BadRatingOpened,
    BadRatingRectified,
    RatingExcluded,
    RatingSubmitted,
)
from shared.ids import new_id
from tests.assessment.test_daily_report import CITY, DAY, NOON, figures, take
from tests.conftest import ClientFactory, TokenFactory, once

PLACE = {"area_code": CITY, "department_code": "D1"}
STAMP = {"revision": 1, "occurred_at": NOON}


@pytest.fixture
def supervisor(token: TokenFactory) -> dict[str, str]:
    return token(kind="staff", roles=["supervisor"], area=CITY)


def a_licence(origin: str, license_id: UUID | None = None) -> dict[str, Any]:
    texts = dict.fromkeys(
        ("identifier", "number", "type_code", "issuer_code", "holder", "digest"), "x"
    )
    return {
        **PLACE,
        **STAMP,
        **texts,
        "license_id": license_id or new_id(),
        "type_name": {"zh": "食品经营许可证"},
        "holder_kind": "person",
        "account_id": None,
        "status": "01",
        "trust": "A",
        "issued_on": DAY,
        "valid_until": None,
        "origin": origin,
        "signed": True,
        "case_id": None,
    }


def a_service_event(subject_id: UUID, **changes: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("case_id", "case_number", "matter_id", "matter_code", "matter_name", "hall", "window")
    )
    return {
        **PLACE,
        **STAMP,
        **nothing,
        "subject_id": subject_id,
        "service_number": 1,
        "stage": "closing",
        **changes,
    }


def rated(subject_id: UUID, grade: int, pf: str) -> RatingSubmitted:
    words: dict[str, Any] = {
        "tags": [],
        "contents": {},
        "sub_channel": "app",
        "real_name": True,
        "text": None,
    }
    return RatingSubmitted(
        **a_service_event(subject_id), rating_id=new_id(), grade=grade, pf=pf, rated_on=DAY, **words
    )  # pyright: ignore[reportArgumentType]


def ticket(subject_id: UUID, **changes: Any) -> dict[str, Any]:
    return {
        **a_service_event(subject_id, **changes),
        "rating_id": new_id(),
        "ticket_id": new_id(),
        "grade": 2,
    }


async def test_licences_are_counted_by_what_happened_to_them(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    use = {
        "type_code": "x",
        "use_id": new_id(),
        "case_id": None,
        "case_number": None,
        "matter_id": None,
    }
    facts: list[Event] = [
        LicenseIssued(**a_licence("case")),
        LicenseIssued(**a_licence("api")),
        *(LicenseIssued(**a_licence("collected")) for _ in range(3)),
        LicenseChanged(**a_licence("collected"), change="signed"),
        LicenseChanged(**a_licence("case"), change="renewed"),
        LicenseRevoked(**a_licence("case"), reason="以欺骗手段取得"),
        LicenseUsed(**PLACE, **STAMP, license_id=new_id(), **use),  # pyright: ignore[reportArgumentType]
    ]

    await take(client.database, facts, size=4)

    assert await figures(client, supervisor) == {
        "licenses_issued": 2,
        "licenses_collected": 3,
        "licenses_signed": 1,
        "licenses_revoked": 1,
        "licenses_used": 1,
    }


async def test_ratings_are_counted_by_channel_and_open_ones_are_a_stock(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    good, fixed, waiting, excluded = (new_id() for _ in range(4))
    due: dict[str, Any] = {"callback_due_on": DAY, "rectify_due_on": DAY, "reopened": False}
    next_day = {"occurred_at": NOON + timedelta(days=1)}
    lives: list[list[Event]] = [
        [rated(good, 5, "2")],
        [
            rated(fixed, 2, "7"),
            BadRatingOpened(**ticket(fixed), **due),
            BadRatingCalledBack(**ticket(fixed), in_time=True),
            BadRatingRectified(**ticket(fixed, **next_day), in_time=True, explained=False),
        ],
        [
            rated(waiting, 1, "2"),
            BadRatingOpened(**ticket(waiting), **due),
            BadRatingEscalated(**ticket(waiting), level=1, clock="callback"),
        ],
        [
            rated(excluded, 1, "4"),
            BadRatingOpened(**ticket(excluded), **due),
            RatingExcluded(
                **a_service_event(excluded),
                rating_id=new_id(),
                grade=1,
                rated_on=DAY,
                pf="4",
                sub_channel="hall",
                real_name=True,
                reason="mistaken",
            ),
        ],
    ]
    choose = random.Random(5)
    while any(lives):
        life = choose.choice([life for life in lives if life])
        await take(client.database, [life.pop(0)])

    assert await figures(client, supervisor) == {
        "ratings_mobile": 2,
        "ratings_sms": 1,
        "ratings_hall": 1,
        "ratings_bad": 3,
        "ratings_excluded": 1,
        "bad_ratings_opened": 3,
        "bad_ratings_called_back": 1,
        "bad_ratings_escalated": 1,
        "bad_ratings_open": 2,
    }
    later = await figures(
        client, supervisor, f"/api/v1/assessment/daily-reports/{DAY + timedelta(days=1)}"
    )
    assert later == {"bad_ratings_rectified": 1, "bad_ratings_open": 1}


@pytest.mark.parametrize("query", [{}, {"area": CITY}, {"department": "D1"}, {"revision": "1"}])
async def test_figures_of_ratings_are_for_staff_alone(
    client_of: ClientFactory, supervisor: dict[str, str], token: TokenFactory, query: dict[str, str]
) -> None:
    client, path = await client_of("assessment"), f"/api/v1/assessment/daily-reports/{DAY}"
    due: dict[str, Any] = {"callback_due_on": DAY, "rectify_due_on": DAY, "reopened": False}
    bad = new_id()
    elsewhere = rated(new_id(), 5, "2").model_copy(
        update={"area_code": "540102000000", "department_code": "D2"}
    )
    facts = [
        rated(bad, 1, "2"),
        BadRatingOpened(**ticket(bad), **due),
        elsewhere,
        LicenseIssued(**a_licence("case")),
    ]
    await take(client.database, facts)
    published = await client.post(f"{path}/publication", headers=once(supervisor))

    for headers in ({}, token(), token(kind="system", scope="exchange:events")):
        report = (await client.get(path, params=query, headers=headers)).json()
        rows = [row["figures"] for row in report["departments"]]
        assert [row["department_code"] for row in report["departments"]] == ["D1"]
        assert report["areas"].keys() == {CITY}
        for figures_of in (report["totals"], *report["areas"].values(), *rows):
            assert figures_of["licenses_issued"] == 1
            assert not [measure for measure in figures_of if "rating" in measure]
    exact = (await client.get(path, headers=supervisor)).json()
    assert exact == published.json()
    assert (exact["totals"]["ratings_mobile"], exact["totals"]["bad_ratings_open"]) == (2, 1)
    assert len(exact["departments"]) == 2


async def test_batches_in_and_uploads_out_are_told_apart(
    client_of: ClientFactory, supervisor: dict[str, str]
) -> None:
    client = await client_of("assessment")
    came = {**PLACE, **STAMP, "peer_code": "housing", "resource": "cases"}
    batch = BatchFinished(**came, batch_id=new_id(), accepted=997, unchanged=2, rejected=3)  # pyright: ignore[reportArgumentType]
    upload = RecordsPushed(**came, push_id=new_id(), accepted=40, rejected=1)  # pyright: ignore[reportArgumentType]

    await take(client.database, [batch, upload])

    assert await figures(client, supervisor) == {
        "pushes_accepted": 997,
        "pushes_rejected": 3,
        "uploads_accepted": 40,
        "uploads_rejected": 1,
    }

"""评价邀请: exactly one for every service event, and what its holder is shown."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.domain.workdays import seed_calendar
from shared.events.cases import CalendarChanged, CaseAccepted, CaseClosed, CaseImported
from tests.conftest import TokenFactory, once
from tests.ratings.giving import BASE, HALL, PHONE, WINDOW, Giving, a_case, ago, today


async def test_acceptance_and_end_of_a_case_are_invited(giving: Giving) -> None:
    await giving.tell(a_case(CaseAccepted), a_case(CaseClosed))

    rows = await giving.rows(
        "SELECT stage, service_number, open_until FROM invitation ORDER BY service_number"
    )

    until = seed_calendar().add_working_days(today(), 5)
    assert [tuple(row.values()) for row in rows] == [
        ("acceptance", 1, until),
        ("closing", 2, until),
    ]
    facts = await giving.facts("rating-invited")
    assert [(fact["case_number"], fact["stage"]) for fact in facts] == [
        ("C-1", "acceptance"),
        ("C-1", "closing"),
    ]


@pytest.mark.parametrize("state", ["closed", "not_accepted", "withdrawn", "returned"])
async def test_every_terminal_state_is_invited(giving: Giving, state: str) -> None:
    await giving.tell(a_case(CaseClosed, state=state, result=None))

    assert len(await giving.rows("SELECT 1 FROM invitation")) == 1


async def test_redelivered_facts_make_no_second_invitation(giving: Giving) -> None:
    closed = a_case(CaseClosed)
    await giving.tell(closed, closed)
    await giving.tell(closed)

    assert len(await giving.rows("SELECT 1 FROM invitation")) == 1
    assert len(await giving.facts("rating-invited")) == 1


@pytest.mark.parametrize(
    ("state", "closed_days_ago", "stages"),
    [
        ("accepted", None, ["acceptance"]),
        ("closed", 2, ["closing"]),
        ("received", None, []),
        ("closed", 400, []),
    ],
)
async def test_pushed_cases_are_invited_by_their_state(
    giving: Giving, state: str, closed_days_ago: int | None, stages: list[str]
) -> None:
    ended = None if closed_days_ago is None else today() - timedelta(days=closed_days_ago)
    accepted = None if state == "received" else ended or today()
    await giving.tell(a_case(CaseImported, state=state, accepted_on=accepted, closed_on=ended))

    assert [row["stage"] for row in await giving.rows("SELECT stage FROM invitation")] == stages


async def test_a_thousand_pushed_cases_are_invited_in_a_few_statements(giving: Giving) -> None:
    await giving.tell(*(a_case(CaseImported, f"fangguan:{number}") for number in range(1000)))

    assert len(await giving.rows("SELECT 1 FROM invitation")) == 1000
    assert len(await giving.rows("SELECT 1 FROM audit")) <= 2


async def test_name_phone_and_token_lie_nowhere_in_clear(giving: Giving) -> None:
    token = await giving.invited()

    stored = str(await giving.rows("SELECT to_jsonb(i)::text FROM invitation i"))
    stored += str(await giving.rows("SELECT to_jsonb(m)::text FROM sms_message m"))
    stored += str(await giving.facts())
    assert token not in stored
    assert PHONE not in stored


async def test_link_goes_to_the_phone_once(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed))

    first, second = await giving.links(), await giving.links()

    assert len(first) == 1
    assert second == first


async def test_no_message_for_what_was_rated_or_is_over(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed), a_case(CaseClosed, "C-2", occurred_at=ago(days=60)))
    await giving.change("UPDATE invitation SET rated_at = now() WHERE case_number = 'C-1'")

    assert await giving.links() == []


async def test_messages_are_there_for_operators_of_development_systems_alone(
    giving: Giving, client_of: Any, token: TokenFactory
) -> None:
    path = f"{BASE}/development/sms-messages?phone={PHONE}"
    production = await client_of("ratings")

    assert (await giving.client.get(path, headers=giving.clerk)).status_code == 403
    assert (await production.get(path, headers=giving.administrator)).status_code == 404


async def test_holder_of_the_token_sees_what_is_rated_and_nobody_else_anything(
    giving: Giving,
) -> None:
    token = await giving.invited()

    shown = await giving.get(f"invitations/{token}")

    assert (shown["matter_name"], shown["stage"], shown["rated"]) == (
        "食品经营许可",
        "closing",
        False,
    )
    assert [len(grade["tags"]) for grade in shown["grades"]] == [8] * 5
    assert "case_number" not in shown
    answer = await giving.client.get(f"{BASE}/invitations/{token[:-4]}AAAA")
    assert (answer.status_code, answer.json()["code"]) == (403, "token_forged")


async def test_applicant_finds_what_she_may_rate(giving: Giving, token: TokenFactory) -> None:
    account = str(uuid4())
    await giving.tell(
        a_case(CaseClosed, account_id=account), a_case(CaseClosed, "C-2", account_id=str(uuid4()))
    )

    mine = await giving.get("invitations", token(sub=account))

    assert [one["case_number"] for one in mine["items"]] == ["C-1"]


async def test_qr_code_is_for_the_applicant_and_the_clerks_of_the_department(
    giving: Giving, token: TokenFactory
) -> None:
    account = str(uuid4())
    await giving.tell(a_case(CaseClosed, account_id=account))
    found = await giving.get("service-events", giving.clerk, case_number="C-1")
    path = f"{BASE}/invitation-codes/{found[0]['id']}"
    elsewhere = token(kind="staff", roles=["window_clerk"], area="540102000000", department="D")

    answers = [
        await giving.client.get(path, headers=who) for who in (giving.clerk, token(sub=account))
    ]
    refused = [
        await giving.client.get(path, headers=who) for who in (elsewhere, token(), giving.system)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["content-type"] == "image/svg+xml"
    assert answers[0].text.startswith("<svg")
    assert [answer.status_code for answer in refused] == [404, 404, 404]
    assert len(await giving.rows("SELECT 1 FROM audit WHERE action = 'invitation.show-code'")) == 1


async def test_visit_is_invited_by_its_queue_number_once(giving: Giving) -> None:
    body = {"hall": HALL, "window": WINDOW, "queue_number": "A012", "day": str(today())}

    first, second = [
        await giving.client.post(f"{BASE}/visits", json=body, headers=once(giving.clerk))
        for _ in range(2)
    ]

    assert first.status_code == 201
    assert first.json() == second.json()
    token = first.json()["link"].rpartition("/")[2]
    assert (await giving.rated(token=token, pf="3", sub_channel="window_qr"))["window"] == WINDOW
    yesterday = {**body, "day": str(today() - timedelta(days=1))}
    answer = await giving.client.post(f"{BASE}/visits", json=yesterday, headers=once(giving.clerk))
    assert answer.status_code == 400


async def test_working_days_follow_the_calendar_of_cases(giving: Giving) -> None:
    plain = seed_calendar().add_working_days(today(), 5)
    await giving.tell(CalendarChanged(days={plain: False}, revision=2, occurred_at=ago(minutes=1)))
    await giving.tell(a_case(CaseClosed))

    row = (await giving.rows("SELECT open_until FROM invitation"))[0]

    assert row["open_until"] > plain


async def test_default_grade_is_off_and_only_shown_where_a_city_turns_it_on(
    giving: Giving, client_of: Any, token: TokenFactory
) -> None:
    cities = [giving, Giving(await client_of("ratings", development=True, default_grade=3), token)]
    shown: list[Any] = []
    for city in cities:
        link = await city.invited()
        await city.change("UPDATE invitation SET open_until = current_date - 3")
        shown.append((await city.get(f"invitations/{link}"))["default_grade"])
        assert await city.rows("SELECT 1 FROM rating") == []

    assert shown == [None, 3]

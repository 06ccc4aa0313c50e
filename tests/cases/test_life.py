"""A case's life over HTTP: from application to delivery.

Every illegal move is refused.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared import clock
from shared.database.migrations import drift, run_on
from shared.domain.workdays import seed_calendar
from shared.ids import new_id
from tests.builders.matters import CODE, DEPARTMENT, a_document
from tests.cases.conftest import APPLICANT, BASE, PDF, StackFixture
from tests.conftest import DatabaseFactory, TokenFactory, published

USCC = DEPARTMENT


async def facts(stack: StackFixture) -> list[str]:
    return [event.type.split(".")[2] for event in await published(stack.client.database)]


async def test_case_from_application_to_delivery(stack: StackFixture) -> None:
    case = await stack.reviewed()
    case = await stack.do(case, "decision", stack.officer("leader"), {"result": "0"})
    case = await stack.do(case, "delivery", stack.officer("delivery"), {"method": "window"})
    timeline = (
        await stack.client.get(f"{BASE}/files/{case['id']}/timeline", headers=stack.citizen)
    ).json()

    assert case["number"] == f"{CODE}{clock.local_date(clock.now()):%Y%m%d}0001"
    assert (case["state"], case["result"], case["overdue"]) == ("closed", "0", False)
    assert [step["act"] for step in timeline] == [
        "receive",
        "accept",
        "review",
        "review",
        "decide",
        "deliver",
    ]
    assert await facts(stack) == [
        "case-submitted",
        "case-received",
        "case-accepted",
        "case-decided",
        "result-delivered",
        "case-closed",
    ]
    revisions = [event.revision for event in await published(stack.client.database)]
    assert revisions == sorted(revisions)


async def test_words_of_a_review_are_kept_sealed_for_the_department_alone(
    stack: StackFixture,
) -> None:
    words = "卓玛央金名下的经营场所经现场核查, 符合条件"
    case = await stack.accepted()
    for opinion in ("agree", "disagree"):
        case = await stack.do(
            case, "reviews", stack.officer("approver"), {"opinion": opinion, "text": words}
        )
    path = f"files/{case['id']}/timeline"

    shown, own = [await stack.get(path, one) for one in (stack.officer("leader"), stack.citizen)]
    connection = await stack.client.database.connect()
    kept = [
        await connection.fetch(f"SELECT {table}::text FROM {table}")
        for table in ("case_step", "audit")
    ]
    await connection.close()

    assert [(step["note"], step["opinion"]) for step in shown[2:]] == [
        ("agree", words),
        ("disagree", words),
    ]
    assert [(step["note"], step["opinion"]) for step in own[2:]] == [
        ("agree", None),
        ("disagree", None),
    ]
    assert words not in str(kept)


async def test_clocks_tick_by_the_lhasa_calendar(stack: StackFixture) -> None:
    calendar, today = seed_calendar(), clock.local_date(clock.now())
    case = await stack.apply()
    accepted = await stack.do(case, "acceptance", stack.officer("window_clerk"))

    assert case["due_on"] == calendar.add_working_days(today, 5).isoformat()
    assert accepted["due_on"] == calendar.add_working_days(today, 10).isoformat()
    assert accepted["legal_due_on"] == calendar.add_working_days(today, 20).isoformat()


async def test_numbers_follow_each_other_under_parallel_applications(stack: StackFixture) -> None:
    bodies = [await stack.application(stack.citizen) for _ in range(20)]

    answers = await asyncio.gather(*(stack.post(body, stack.citizen) for body in bodies))

    assert sorted(int(answer.json()["number"][-4:]) for answer in answers) == list(range(1, 21))


async def test_hundred_equal_applications_make_one_case(stack: StackFixture) -> None:
    body = await stack.application(stack.citizen)
    headers = {**stack.citizen, "Idempotency-Key": "the-same-key"}

    answers = await asyncio.gather(
        *(stack.client.post(f"{BASE}/applications", json=body, headers=headers) for _ in range(100))
    )

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201, answers[0].content)
    }
    assert await facts(stack) == ["case-submitted", "case-received"]


async def test_parallel_acceptances_and_decisions_have_one_effect(stack: StackFixture) -> None:
    case = await stack.apply()
    clerk, leader = stack.officer("window_clerk"), stack.officer("leader")
    accepted = await asyncio.gather(*(stack.act(case, "acceptance", clerk) for _ in range(100)))
    case = next(answer.json() for answer in accepted if answer.status_code == 200)
    for _ in range(2):
        case = await stack.do(
            case, "reviews", stack.officer("approver"), {"opinion": "agree", "text": "好"}
        )

    decided = await asyncio.gather(
        *(stack.act(case, "decision", leader, {"result": "0"}) for _ in range(100))
    )

    for answers in (accepted, decided):
        assert sorted({answer.status_code for answer in answers}) == [200, 412]
        assert [answer.status_code for answer in answers].count(200) == 1
    assert (await facts(stack)).count("case-decided") == 1


async def test_correction_is_asked_once_and_restarts_the_clock(stack: StackFixture) -> None:
    clerk = stack.officer("window_clerk")
    items = {"items": [{"material_code": "M4", "text": "合同缺少签字页"}, {"text": "请补充联系人"}]}
    case = await stack.do(await stack.apply(), "correction-requests", clerk, items)
    upload = (await stack.upload(stack.citizen, b"\x89PNG\r\n\x1a\n new")).json()["id"]
    materials = {"materials": [{"code": "M4", "upload_id": upload}]}

    foreign = await stack.act(case, "corrections", stack.officer("window_clerk"), materials)
    corrected = await stack.do(case, "corrections", stack.citizen, materials)
    again = await stack.act(corrected, "correction-requests", clerk, items)

    assert (case["state"], [item["text"] for item in case["missing"]]) == (
        "correcting",
        ["合同缺少签字页", "请补充联系人"],
    )
    assert (foreign.status_code, corrected["state"], again.status_code) == (404, "received", 409)
    assert [m["media_type"] for m in corrected["materials"] if m["code"] == "M4"] == ["image/png"]


@pytest.mark.parametrize(
    ("path", "body", "state", "result", "last"),
    [
        (
            "non-acceptance",
            {"reasons": "不属于本机关职权范围"},
            "not_accepted",
            "6",
            ["case-not-accepted", "case-closed"],
        ),
        ("withdrawal", None, "withdrawn", None, ["case-withdrawn", "case-closed"]),
    ],
)
async def test_other_ends(
    stack: StackFixture, path: str, body: object, state: str, result: str, last: list[str]
) -> None:
    headers = stack.citizen if path == "withdrawal" else stack.officer("window_clerk")

    case = await stack.do(await stack.apply(), path, headers, body)

    assert (case["state"], case["result"]) == (state, result)
    assert (await facts(stack))[-2:] == last
    assert path == "withdrawal" or "行政复议" in case["reasons"]


async def test_case_never_corrected_is_returned(stack: StackFixture) -> None:
    clerk = stack.officer("window_clerk")
    case = await stack.do(
        await stack.apply(), "correction-requests", clerk, {"items": [{"text": "缺件"}]}
    )

    case = await stack.do(case, "return", clerk, {"reasons": "逾期未补正"})

    assert (case["state"], case["result"]) == ("returned", "5")


async def test_illegal_move_names_the_allowed_ones(stack: StackFixture) -> None:
    case = await stack.apply()

    refused = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})

    assert refused.status_code == 409
    assert (refused.json()["state"], refused.json()["allowed"]) == (
        "received",
        ["accept", "refuse_acceptance", "request_correction", "withdraw"],
    )


async def test_intake_review_decision_and_delivery_are_different_people(
    stack: StackFixture, token: TokenFactory
) -> None:
    both = stack.officer("window_clerk", "approver", "leader", "delivery")
    reviewer = stack.officer("approver", "leader", "delivery")
    opinion = {"opinion": "agree", "text": "符合"}
    case = await stack.do(await stack.apply(), "acceptance", both)
    own_review = await stack.act(case, "reviews", both, opinion)
    case = await stack.do(case, "reviews", reviewer, opinion)
    twice = await stack.act(case, "reviews", reviewer, opinion)
    too_early = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})
    case = await stack.do(case, "reviews", stack.officer("approver"), opinion)
    own_decision = await stack.act(case, "decision", reviewer, {"result": "0"})
    case = await stack.do(
        case, "decision", stack.officer("leader"), {"result": "1", "reasons": "不符合卫生条件"}
    )
    own_delivery = await stack.act(
        case, "delivery", reviewer, {"method": "post", "tracking_number": "EMS123456"}
    )

    statuses = [a.status_code for a in (own_review, twice, too_early, own_decision, own_delivery)]
    assert statuses == [403, 409, 409, 403, 403]
    assert "行政诉讼" in case["reasons"]


async def test_silence_for_five_working_days_is_acceptance(
    stack: StackFixture, token: TokenFactory
) -> None:
    administrator = token(kind="staff", roles=["administrator"])
    case, today = await stack.apply(), clock.local_date(clock.now())
    path = f"{BASE}/development/timer-runs"
    last_day = seed_calendar().add_working_days(today, 5)

    async def run(day: object) -> int:
        body = {"as_of": f"{day}T12:00:00+08:00"}
        return (await stack.client.post(path, json=body, headers=administrator)).json()[
            "deemed_accepted"
        ]

    runs = [
        await run(last_day),
        await run(last_day + timedelta(days=1)),
        await run(last_day + timedelta(days=2)),
    ]
    found = (await stack.client.get(f"{BASE}/files/{case['id']}", headers=stack.citizen)).json()

    assert runs == [0, 1, 0]
    assert (found["state"], found["accepted_on"]) == ("accepted", today.isoformat())
    assert found["due_on"] == seed_calendar().add_working_days(today, 10).isoformat()
    no_zone = await stack.client.post(
        path, json={"as_of": "2026-01-01T00:00:00"}, headers=administrator
    )
    assert no_zone.status_code == 400


async def test_application_refusals_name_every_fault(
    stack: StackFixture, token: TokenFactory
) -> None:
    good = await stack.application(stack.citizen)
    foreign_upload = (await stack.upload(token())).json()["id"]

    async def fields(**changes: object) -> tuple[int, list[str]]:
        answer = await stack.post({**good, **changes}, stack.citizen)
        return answer.status_code, [error["field"] for error in answer.json()["errors"]]

    assert await fields(materials=[]) == (400, [f"materials.M{n}" for n in (1, 2, 3, 4)])
    assert await fields(
        materials=[
            *good["materials"],
            {"code": "M9", "upload_id": good["materials"][0]["upload_id"]},
        ]
    ) == (
        400,
        ["materials.M9"],
    )
    assert await fields(materials=[{"code": "M1", "upload_id": foreign_upload}]) == (
        400,
        ["materials.M1.upload_id", "materials.M2", "materials.M3", "materials.M4"],
    )
    assert await fields(materials=[*good["materials"], good["materials"][0]]) == (
        400,
        ["materials"],
    )
    assert await fields(guide_digest="sha256:" + "0" * 64) == (400, ["guide_digest"])
    assert await fields(answers={}) == (400, ["answers.Q1"])
    assert await fields(matter_version=2) == (409, [])
    assert await fields(matter_id=str(new_id())) == (404, [])
    assert await fields(
        applicant={**APPLICANT, "id_number": "540102199001010012", "phone": "1"}
    ) == (
        400,
        ["applicant.id_number", "applicant.phone"],
    )
    assert await fields(applicant={**APPLICANT, "id_number": "540102199001010012"}) == (
        400,
        ["applicant.id_number"],
    )
    assert await fields(applicant={**APPLICANT, "kind": "organisation"}) == (
        400,
        ["applicant.id_number"],
    )
    assert await fields(channel="window") == (400, ["channel"])
    assert await facts(stack) == []


async def test_who_may_apply(stack: StackFixture, token: TokenFactory) -> None:
    good = await stack.application(stack.citizen)
    low = await stack.post(good, token(acr="1"))
    system = await stack.post(good, token(kind="system"))
    approver = await stack.post({**good, "channel": "window"}, stack.officer("approver"))
    anonymous = await stack.post(good, {})

    assert [a.status_code for a in (low, system, approver, anonymous)] == [401, 403, 403, 401]
    assert 'acr_values="2"' in low.headers["www-authenticate"]


async def test_organisation_applies_with_its_own_account_and_sees_its_case(
    stack: StackFixture, token: TokenFactory
) -> None:
    firm = token(kind="organisation")
    applicant = {
        "kind": "organisation",
        "name": "拉萨雪域茶业有限公司",
        "id_number": USCC,
        "phone": "13989001234",
    }

    case = await stack.apply(firm, applicant=applicant)
    mine = (await stack.client.get(f"{BASE}/files", headers=firm)).json()["items"]
    officer = (
        await stack.client.get(f"{BASE}/files/{case['id']}", headers=stack.officer("approver"))
    ).json()
    refused = await stack.post(
        await stack.application(firm, applicant={**applicant, "id_number": USCC[:-1] + "0"}), firm
    )
    low = await stack.post(await stack.application(firm), token(kind="organisation", acr="1"))
    withdrawn = await stack.do(case, "withdrawal", firm)

    assert (case["applicant_kind"], case["applicant_id_number"], case["channel"]) == (
        "organisation",
        USCC,
        "pc",
    )
    assert [item["id"] for item in mine] == [case["id"]]
    # 统一社会信用代码 is public by nature; a name of persons is not.
    assert officer["applicant_id_number"] == USCC
    assert (refused.status_code, low.status_code, withdrawn["state"]) == (400, 401, "withdrawn")
    event = (await published(stack.client.database))[0]
    assert (event.data["applicant_kind"], "雪域" in str(event.data)) == ("organisation", False)


async def test_person_applies_for_a_firm_and_the_case_is_hers_to_follow(
    stack: StackFixture, token: TokenFactory
) -> None:
    applicant = {
        "kind": "organisation",
        "name": "拉萨雪域茶业有限公司",
        "id_number": USCC,
        "phone": "13989001234",
    }

    case = await stack.apply(stack.citizen, applicant=applicant)

    assert (
        await stack.client.get(f"{BASE}/files/{case['id']}", headers=stack.citizen)
    ).status_code == 200
    assert (
        await stack.client.get(f"{BASE}/files/{case['id']}", headers=token(kind="organisation"))
    ).status_code == 404


async def test_clerk_takes_in_for_an_old_man_who_tracks_by_phone(stack: StackFixture) -> None:
    clerk = stack.officer("window_clerk")
    case = await stack.apply(clerk, channel="window")
    track = {"number": case["number"], "phone_last4": "1234"}

    found = await stack.client.post(f"{BASE}/tracking", json=track)
    wrong_phone = await stack.client.post(f"{BASE}/tracking", json={**track, "phone_last4": "0000"})
    wrong_number = await stack.client.post(
        f"{BASE}/tracking", json={**track, "number": case["number"][:-1] + "9"}
    )

    assert (case["applicant_name"], case["phone"], case["applicant_id_number"]) == (
        "卓玛**",
        "139****1234",
        "540***********0011",
    )
    assert found.json() == {n: case[n] for n in ("number", "state", "matter_name", "due_on")}
    assert wrong_phone.json()["detail"] == wrong_number.json()["detail"]
    assert (wrong_phone.status_code, wrong_number.status_code) == (404, 404)


async def test_case_is_seen_by_its_applicant_and_its_department_alone(
    stack: StackFixture, token: TokenFactory
) -> None:
    case = await stack.apply()
    paths = [f"{BASE}/files/{case['id']}{tail}" for tail in ("", "/timeline", "/materials/M1")]
    strangers = [
        token(),
        token(kind="organisation"),
        stack.officer("leader", department="OTHER"),
        stack.officer("leader", area="540102000000"),
        stack.officer("auditor"),
        token(kind="system"),
    ]

    for path in paths:
        assert [(await stack.client.get(path, headers=h)).status_code for h in strangers] == [
            404
        ] * 6
        assert (await stack.client.get(path)).status_code == 401
    mine = (await stack.client.get(paths[0], headers=stack.citizen)).json()
    officer = (await stack.client.get(paths[0], headers=stack.officer("approver"))).json()
    file = await stack.client.get(paths[2], headers=stack.citizen)

    assert (mine["applicant_name"], officer["applicant_name"]) == ("卓玛央金", "卓玛**")
    assert (file.content, file.headers["content-disposition"]) == (PDF, "attachment")
    missing = await stack.client.get(
        f"{BASE}/files/{case['id']}/materials/M99", headers=stack.citizen
    )
    assert missing.status_code == 404


async def test_acts_of_strangers_and_stale_versions_change_nothing(
    stack: StackFixture, token: TokenFactory
) -> None:
    case = await stack.apply()
    stale = {**case, "revision": case["revision"] - 1}

    statuses = [
        (
            await stack.act(case, "acceptance", stack.officer("window_clerk", department="OTHER"))
        ).status_code,
        (await stack.act(case, "acceptance", stack.citizen)).status_code,
        (await stack.act(case, "withdrawal", token())).status_code,
        (await stack.act(stale, "acceptance", stack.officer("window_clerk"))).status_code,
        (
            await stack.act({**case, "id": new_id()}, "acceptance", stack.officer("window_clerk"))
        ).status_code,
    ]

    assert statuses == [404, 403, 404, 412, 404]
    assert await facts(stack) == ["case-submitted", "case-received"]


async def test_lists_hold_what_is_mine_and_what_is_urgent(
    stack: StackFixture, token: TokenFactory
) -> None:
    cases = [await stack.apply() for _ in range(5)]
    accepted = await stack.do(cases[2], "acceptance", stack.officer("window_clerk"))

    async def ids(path: str, headers: dict[str, str], **params: object) -> list[str]:
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = {**params, "limit": 2, **({"cursor": cursor} if cursor else {})}
            body = (await stack.client.get(f"{BASE}/{path}", params=page, headers=headers)).json()  # pyright: ignore[reportArgumentType]
            seen += [item["id"] for item in body["items"]]
            cursor = body["next"]
        return seen

    assert await ids("files", stack.citizen) == [case["id"] for case in cases]
    assert await ids("files", token()) == await ids("files", stack.officer("approver")) == []
    work = await ids("work-list", stack.officer("approver"))
    assert (set(work), work[-1]) == ({case["id"] for case in cases}, accepted["id"])
    assert await ids("work-list", stack.officer("approver"), state="accepted") == [accepted["id"]]
    assert await ids("work-list", stack.officer("approver", department="OTHER")) == []


@pytest.mark.parametrize("content", [b"", b"MZ\x90 program", b"<html>", b"PK\x03\x04", b" %PDF-"])
async def test_upload_is_judged_by_its_content(stack: StackFixture, content: bytes) -> None:
    answer = await stack.upload(stack.citizen, content)

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (400, "media_type")


async def test_matter_closes_and_newer_text_wins(stack: StackFixture) -> None:
    await stack.publish(a_document(promised_days=12), revision=3)
    await stack.publish(a_document(), revision=2)
    old = await stack.post(await stack.application(stack.citizen), stack.citizen)

    assert (old.status_code, old.json()["current_version"]) == (409, 3)


async def test_personal_data_is_nowhere_in_plain(stack: StackFixture, test_log: Path) -> None:
    case = await stack.apply()
    _ = await stack.act(case, "decision", stack.officer("leader"), {"result": "0"})
    connection = await stack.client.database.connect()
    stored = [
        await connection.fetch(f"SELECT * FROM {table}")
        for table in ("case_file", "audit", "case_step", "outbox")
    ]
    await connection.close()

    for secret in ("卓玛央金", APPLICANT["id_number"], APPLICANT["phone"]):
        assert secret not in str(stored) + test_log.read_text(encoding="utf-8")
        assert secret.encode() not in b"".join(bytes(row["payload"]) for row in stored[3])


async def test_models_equal_the_migrations(database_of: DatabaseFactory) -> None:
    database = await database_of("cases")

    assert await run_on(database.dsn, drift, "cases") == []


async def test_file_brought_again_is_the_same_upload(stack: StackFixture) -> None:
    first, again = [await stack.upload(stack.citizen, b"%PDF-1.7 one") for _ in range(2)]
    other = await stack.upload(stack.citizen, b"%PDF-1.7 two")
    somebody_else = await stack.upload(stack.officer("window_clerk"), b"%PDF-1.7 one")

    assert first.json() == again.json()
    assert len({answer.json()["id"] for answer in (first, other, somebody_else)}) == 3

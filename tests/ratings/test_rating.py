"""评价: said once, by whoever it was done for; by nobody else."""

import asyncio
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from shared.events.cases import CaseAccepted, CaseClosed
from tests.conftest import TokenFactory
from tests.ratings.giving import BASE, NAME, PHONE, Giving, a_case, ago

CALL = {"pf": "6", "sub_channel": "hotline_12345"}
TEXT = "我叫卓玛央金，电话13989001234，窗口让我跑了三趟"


async def test_rating_is_stored_told_and_counted_once(giving: Giving) -> None:
    link = await giving.invited()

    rating = await giving.rated(
        token=link, grade=2, tags=["213", "214"], contents={"attitude": 1}, text=TEXT
    )

    assert (rating["grade"], rating["tags"], rating["text"]) == (2, ["213", "214"], TEXT)
    assert (rating["real_name"], rating["source"], rating["case_number"]) == (True, "link", "C-1")
    fact = (await giving.facts("rating-submitted"))[0]
    assert (fact["grade"], fact["contents"], fact["pf"]) == (2, {"attitude": 1}, "1")
    assert NAME not in fact["text"]
    assert PHONE not in fact["text"]
    assert "跑了三趟" in fact["text"]


async def test_hundred_parallel_submissions_store_one_rating_and_answer_alike(
    giving: Giving,
) -> None:
    link = await giving.invited()

    answers = await asyncio.gather(
        *(giving.rate(token=link, grade=4, tags=["413"]) for _ in range(100))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(await giving.rows("SELECT 1 FROM rating")) == 1
    assert len(await giving.facts("rating-submitted")) == 1
    assert len(await giving.rows("SELECT 1 FROM audit WHERE action = 'rating.submit'")) == 1


async def test_of_parallel_different_grades_the_first_stays_and_the_others_are_told(
    giving: Giving,
) -> None:
    link = await giving.invited()

    answers = await asyncio.gather(*(giving.rate(token=link, grade=1 + n % 5) for n in range(20)))

    stored = (await giving.rows("SELECT id, grade FROM rating"))[0]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert {answer.json()["grade"] for answer in answers if answer.status_code == 201} == {
        stored["grade"]
    }
    assert {(one.status_code, one.json()["code"], one.json()["rating_id"]) for one in refused} == {
        (409, "already_rated", str(stored["id"]))
    }


async def test_offline_queue_resends_safely_with_and_without_a_key(giving: Giving) -> None:
    link = await giving.invited()
    keyed = {"Idempotency-Key": "queue-1"}

    answers = [
        await giving.rate(headers, token=link, text="很好") for headers in (keyed, keyed, {})
    ]
    other = await giving.rate(keyed, token=link, text="不好")

    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.content for answer in answers}) == 1
    assert other.status_code == 422


async def test_key_of_one_holder_tells_nothing_to_another(giving: Giving) -> None:
    first = await giving.invited()
    await giving.tell(a_case(CaseClosed, "C-2"))
    second = next(link for link in await giving.links() if link != first)
    keyed = {"Idempotency-Key": "1"}

    answers = [await giving.rate(keyed, token=link) for link in (first, second)]

    assert [answer.json()["case_number"] for answer in answers] == ["C-1", "C-2"]


async def test_both_services_of_a_case_are_rated_apart(giving: Giving, token: TokenFactory) -> None:
    account = str(uuid4())
    await giving.tell(
        a_case(CaseAccepted, account_id=account), a_case(CaseClosed, account_id=account)
    )

    last = await giving.rated(token(sub=account), case_number="C-1")
    first = await giving.rated(token(sub=account), case_number="C-1", service_number=1, grade=3)

    assert [(last["stage"], last["grade"]), (first["stage"], first["grade"])] == [
        ("closing", 5),
        ("acceptance", 3),
    ]


async def test_applicant_rates_signed_in_and_others_find_nothing(
    giving: Giving, token: TokenFactory
) -> None:
    account = str(uuid4())
    await giving.tell(a_case(CaseClosed, account_id=account))

    others = [
        await giving.rate(who, case_number="C-1") for who in (token(), token(kind="organisation"))
    ]
    nobody = await giving.rate({}, case_number="C-1")
    rating = await giving.rated(token(sub=account), case_number="C-1")

    assert [answer.status_code for answer in others] == [404, 404]
    assert nobody.status_code == 401
    assert rating["source"] == "account"


async def test_staff_and_systems_cannot_rate_even_with_a_link(
    giving: Giving, token: TokenFactory
) -> None:
    link = await giving.invited()
    head = token(kind="staff", roles=["department_head", "rating_handler", "administrator"])
    callers = (giving.clerk, head, giving.system, giving.operator)

    answers = [await giving.rate(who, token=link) for who in callers]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (403, "staff_cannot_rate")
    }
    assert await giving.rows("SELECT 1 FROM rating") == []


async def test_operator_of_12345_writes_down_what_the_applicant_says(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed))

    rating = await giving.rated(
        giving.operator, case_number="C-1", phone_last4=PHONE[-4:], grade=1, **CALL
    )

    assert (rating["source"], rating["real_name"]) == ("hotline", True)
    assert (await giving.rows("SELECT operator FROM rating"))[0]["operator"]


async def test_operator_needs_the_digits_of_the_phone_and_has_few_tries(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed))

    wrong = [
        await giving.rate(giving.operator, case_number="C-1", phone_last4="0000", **CALL)
        for _ in range(6)
    ]
    right = await giving.rate(giving.operator, case_number="C-1", phone_last4=PHONE[-4:], **CALL)
    missing = await giving.rate(giving.operator, case_number="C-1", **CALL)

    assert [answer.status_code for answer in wrong] == [403] * 5 + [429]
    assert right.status_code == 429
    assert missing.status_code == 400


async def test_parallel_guesses_of_the_digits_are_no_more_tries_and_stop_nobody(
    giving: Giving,
) -> None:
    await giving.tell(a_case(CaseClosed), a_case(CaseClosed, "C-2"))
    wrong = {"case_number": "C-1", "phone_last4": "0000", **CALL}
    right = {"case_number": "C-2", "phone_last4": PHONE[-4:], **CALL}

    *guesses, other = await asyncio.gather(
        *(giving.rate(giving.operator, **wrong) for _ in range(60)),
        giving.rate(giving.operator, **right),
    )
    again = [await giving.rate(giving.operator, **right) for _ in range(6)]

    assert Counter(answer.status_code for answer in guesses) == {403: 5, 429: 55}
    assert {answer.status_code for answer in (other, *again)} == {201}


async def test_telephone_channel_is_for_operators(giving: Giving) -> None:
    link = await giving.invited()

    answer = await giving.rate(token=link, **CALL)

    assert answer.status_code == 403


async def test_every_fault_of_a_rating_is_told_at_once(giving: Giving) -> None:
    answer = await giving.rate(
        token="x",
        grade=5,
        tags=["115"],
        contents={"weather": 5},
        text="长" * 501,
        pf="4",
        sub_channel="site",
    )

    assert answer.status_code == 400
    fields = {error["field"].partition(".")[0] for error in answer.json()["errors"]}
    assert fields == {"tags", "contents", "text", "sub_channel"}


@pytest.mark.parametrize("tags", [["115"], ["501"], ["999"], ["510", "510"]])
async def test_tags_must_belong_to_the_grade_and_be_in_use(giving: Giving, tags: list[str]) -> None:
    link = await giving.invited()

    answer = await giving.rate(token=link, grade=5, tags=tags)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "tags"


async def test_over_is_over(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed))
    link = (await giving.links())[0]
    await giving.change("UPDATE invitation SET open_until = current_date - 2")

    answer = await giving.rate(token=link)

    assert (answer.status_code, answer.json()["code"]) == (409, "token_expired")


async def test_anonymous_hides_the_name_and_needs_the_credential_all_the_same(
    giving: Giving,
) -> None:
    link = await giving.invited()

    rating = await giving.rated(token=link, real_name=False)

    shown = await giving.get(f"ratings/{rating['id']}", giving.handler)
    assert (rating["real_name"], rating["case_number"]) == (False, "C-1")
    assert shown["case_number"] is None
    assert shown["invitation_id"] is None
    assert (await giving.facts("rating-submitted"))[0]["real_name"] is False


async def test_rater_reads_her_words_staff_read_them_masked(
    giving: Giving, token: TokenFactory
) -> None:
    account = str(uuid4())
    await giving.tell(a_case(CaseClosed, account_id=account))
    rating = await giving.rated(token(sub=account), case_number="C-1", grade=1, text=TEXT)
    path = f"ratings/{rating['id']}"
    elsewhere = token(kind="staff", roles=["rating_handler"], area="540102000000", department="D")

    own, masked = await giving.get(path, token(sub=account)), await giving.get(path, giving.handler)
    refused = [
        await giving.client.get(f"{BASE}/{path}", headers=who)
        for who in (elsewhere, giving.clerk, token())
    ]
    mine = await giving.get("ratings/mine", token(sub=account))

    assert own["text"] == TEXT
    assert NAME not in masked["text"]
    assert PHONE not in masked["text"]
    assert [answer.status_code for answer in refused] == [404] * 3
    assert [one["id"] for one in mine["items"]] == [rating["id"]]


async def test_words_are_added_later_and_the_grade_stays(
    giving: Giving, token: TokenFactory
) -> None:
    account = str(uuid4())
    await giving.tell(a_case(CaseClosed, account_id=account))
    link = (await giving.links())[0]
    rating = await giving.rated(token=link, grade=2)
    path = f"{BASE}/ratings/{rating['id']}/supplements"

    by_link = await giving.client.post(path, json={"text": "请回电13989001234", "token": link})
    again = await giving.client.post(path, json={"text": "请回电13989001234", "token": link})
    by_account = await giving.client.post(
        path, json={"text": "还没有回电"}, headers=token(sub=account)
    )
    refused = [
        await giving.client.post(path, json={"text": "好"}, headers=who)
        for who in (token(), giving.handler, {})
    ]

    assert by_link.status_code == 201, by_link.text
    assert by_link.json()["supplements"][0]["text"] == "请回电13989001234"
    assert again.content == by_link.content
    assert [one["text"] for one in by_account.json()["supplements"]] == [
        "请回电13989001234",
        "还没有回电",
    ]
    assert [answer.status_code for answer in refused] == [404, 403, 401]
    facts = await giving.facts("rating-supplemented")
    assert [fact["text"] for fact in facts] == ["请回电***", "还没有回电"]
    masked = await giving.get(f"ratings/{rating['id']}", giving.handler)
    assert [one["text"] for one in masked["supplements"]] == ["请回电***", "还没有回电"]
    assert masked["grade"] == 2
    assert PHONE not in str(await giving.rows("SELECT supplements FROM rating"))


async def test_agent_adds_words_in_the_matters_of_the_mandate_alone(
    giving: Giving, token: TokenFactory
) -> None:
    account, matters = str(uuid4()), [str(uuid4()), str(uuid4())]
    agent = token(sub=account, act={"sub": str(uuid4())}, matters=matters[:1])
    answers: list[httpx.Response] = []
    for number, matter in enumerate(matters):
        await giving.tell(a_case(CaseClosed, f"C-{number}", account_id=account, matter_id=matter))
        rating = await giving.rated(token(sub=account), case_number=f"C-{number}", text=TEXT)
        path = f"{BASE}/ratings/{rating['id']}/supplements"
        answers.append(await giving.client.post(path, json={"text": "补充一句"}, headers=agent))

    assert [answer.status_code for answer in answers] == [201, 404]
    assert TEXT not in answers[1].text


async def test_facts_about_one_service_event_rise_by_one(giving: Giving) -> None:
    link = await giving.invited()
    rating = await giving.rated(token=link)
    path = f"{BASE}/ratings/{rating['id']}/supplements"
    _ = await giving.client.post(path, json={"text": "补充一句", "token": link})

    facts = await giving.facts("ratings.rating-")

    assert [fact["revision"] for fact in facts] == [1, 2, 3]
    assert len({fact["subject_id"] for fact in facts}) == 1


async def test_hundred_equal_supplements_are_one(giving: Giving) -> None:
    link = await giving.invited()
    rating = await giving.rated(token=link)
    path, body = f"{BASE}/ratings/{rating['id']}/supplements", {"text": "补充一句", "token": link}

    answers = await asyncio.gather(*(giving.client.post(path, json=body) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {201}
    assert len(await giving.facts("rating-supplemented")) == 1


async def test_rating_within_seconds_of_the_end_is_suspicious(giving: Giving) -> None:
    await giving.tell(a_case(CaseClosed), a_case(CaseClosed, "C-2", occurred_at=ago(hours=1)))
    for link in await giving.links():
        _ = await giving.rated(token=link)

    found = {
        row["case_number"]: row["suspicions"] for row in await giving.rows("SELECT * FROM rating")
    }

    assert found == {"C-1": ["seconds_after_close"], "C-2": []}


async def test_bursts_same_words_and_same_device_are_suspicious_and_queued(giving: Giving) -> None:
    cases = [a_case(CaseClosed, f"C-{number}", occurred_at=ago(hours=1)) for number in range(8)]
    await giving.tell(*cases)
    device = {"pf": "4", "sub_channel": "tablet", "terminal": "T-7", "device": "tablet-0007"}
    for link in await giving.links():
        _ = await giving.rated(token=link, text="服务热情效率高非常满意", **device)

    last = (await giving.rows("SELECT suspicions FROM rating ORDER BY id DESC LIMIT 1"))[0]
    queue = await giving.get("suspect-ratings", giving.handler)
    first = await giving.get("suspect-ratings", giving.handler, limit=2)
    other = await giving.client.get(f"{BASE}/suspect-ratings", headers=giving.clerk)

    assert set(last["suspicions"]) == {"terminal_burst", "same_text", "same_device"}
    assert len(queue["items"]) == 6
    assert len(first["items"]) == 2
    assert first["next"]
    assert other.status_code == 403


async def test_many_ratings_from_one_address_are_suspicious(giving: Giving) -> None:
    await giving.tell(*(a_case(CaseClosed, f"C-{n}", occurred_at=ago(hours=1)) for n in range(9)))
    for link in await giving.links():
        _ = await giving.rated(token=link)

    rows = await giving.rows("SELECT suspicions FROM rating ORDER BY id")

    assert [row["suspicions"] for row in rows] == [[]] * 7 + [["address_burst"]] * 2


async def test_dictionary_has_forty_tags_three_of_each_grade_shown_first(giving: Giving) -> None:
    shown = await giving.get("tags")
    tibetan = await giving.get("tags", {"Accept-Language": "bo-CN"})

    tags = [tag for grade in shown["grades"] for tag in grade["tags"]]
    assert len(tags) == 40
    assert [[tag["expanded"] for tag in grade["tags"]] for grade in shown["grades"]] == [
        [False] * 3 + [True] * 5
    ] * 5
    assert all(
        tag["code"][0] == str(grade["grade"]) for grade in shown["grades"] for tag in grade["tags"]
    )
    assert len(shown["retired"]) == 32
    assert not any(tag["enabled"] for tag in shown["retired"])
    assert tibetan["grades"][0]["text"] == "ཧ་ཅང་ཡིད་ཚིམ།"


async def test_message_of_what_was_rated_at_the_window_is_not_sent(
    giving: Giving, token: TokenFactory
) -> None:
    account = str(uuid4())
    await giving.tell(a_case(CaseClosed, account_id=account))
    _ = await giving.rated(token(sub=account), case_number="C-1")

    assert await giving.links() == []


def test_nothing_but_a_submission_or_a_record_makes_a_rating() -> None:
    code = [path.read_text(encoding="utf-8") for path in Path("services/ratings").rglob("*.py")]
    assert sum(text.count("new_rating(") for text in code) == 3
    assert sum(text.count(" Rating(") for text in code) == 1 + sum(
        text.count("class Rating(") for text in code
    )

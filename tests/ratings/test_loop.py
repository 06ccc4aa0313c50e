"""The whole loop of a bad rating.

A case is told, she is invited, rates by the link's token, is called, is told what changed, and
judges that.
"""

from typing import Any

from shared.events.cases import CaseAccepted, CaseClosed
from tests.builders.ratings import CLOSING
from tests.conftest import Headers
from tests.ratings.giving import BASE, Giving, a_case


async def act(
    giving: Giving, ticket: dict[str, Any], path: str, body: Any, who: Headers | None = None
) -> Any:
    headers = {
        **(who if who is not None else giving.handler),
        "If-Match": f'"{ticket["revision"]}"',
    }
    url = f"/api/v1/ratings/tickets/{ticket['id']}/{path}"
    answer = await giving.client.post(url, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rectified(giving: Giving) -> dict[str, Any]:
    ticket = (await giving.get("tickets", giving.handler))["items"][0]
    ticket = await act(giving, ticket, "verification", {"confirmed": True, "words": "情况属实"})
    if ticket["real_name"]:
        ticket = await act(giving, ticket, "callbacks", {"reached": True, "words": "已电话回访"})
    ticket = await act(giving, ticket, "rectification", {"kind": "simple", "words": "立即整改"})
    ticket = await act(giving, ticket, "rectification/completion", CLOSING)
    return await act(giving, ticket, "feedback", {"by": "phone", "words": "已告知整改结果"})


async def test_rater_without_account_judges_what_was_done_by_the_token_of_her_link(
    giving: Giving,
) -> None:
    await giving.tell(a_case(CaseAccepted), a_case(CaseClosed))
    closing, acceptance = await giving.links()
    _ = await giving.rated(
        token=closing, grade=2, tags=["207"], pf="7", sub_channel="sms_link", text="没有样本"
    )
    ticket = await rectified(giving)

    other = {"Rating-Token": acceptance}
    refused = await giving.client.get(
        f"/api/v1/ratings/tickets/{ticket['id']}/outcome", headers=other
    )
    forged = {"Rating-Token": closing[:-6] + "AAAAAA"}
    unknown = await giving.client.get(
        f"/api/v1/ratings/tickets/{ticket['id']}/outcome", headers=forged
    )
    outcome = await giving.get(f"tickets/{ticket['id']}/outcome", {"Rating-Token": closing})
    judged = await act(giving, outcome, "re-rating", {"grade": 4}, {"Rating-Token": closing})

    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert outcome["action"] == CLOSING["action"]
    assert judged["state"] == "closed"


async def test_token_leads_its_rater_to_the_ticket_and_nobody_who_did_not_rate_badly(
    giving: Giving,
) -> None:
    bad, good = await giving.invited("C-1"), await giving.invited("C-2")
    before = await giving.get(f"invitations/{bad}")
    _ = await giving.rated(token=bad, grade=2, tags=["207"])
    _ = await giving.rated(token=good, grade=5)
    opened = await giving.get(f"invitations/{bad}")
    ticket = await rectified(giving)
    done = await giving.get(f"invitations/{bad}")

    assert (before["ticket"], (await giving.get(f"invitations/{good}"))["ticket"]) == (None, None)
    assert opened["ticket"] == {"id": ticket["id"], "state": "open"}
    assert done["ticket"] == {"id": ticket["id"], "state": "rectified"}


async def test_token_printed_ahead_shows_its_rater_what_was_done_and_takes_her_judgement(
    giving: Giving,
) -> None:
    paper, other = await giving.batch(2)
    _ = await giving.rated(
        token=paper, grade=1, tags=["110"], pf="4", sub_channel="tablet", terminal="Z1-7"
    )
    ticket = await rectified(giving)

    shown = await giving.get(f"invitations/{paper}")
    refused = await giving.client.get(
        f"{BASE}/tickets/{ticket['id']}/outcome", headers={"Rating-Token": other}
    )
    outcome = await giving.get(f"tickets/{shown['ticket']['id']}/outcome", {"Rating-Token": paper})
    judged = await act(giving, outcome, "re-rating", {"grade": 5}, {"Rating-Token": paper})

    assert (refused.status_code, (await giving.get(f"invitations/{other}"))["ticket"]) == (
        404,
        None,
    )
    assert (outcome["can_rerate"], judged["satisfied"]) == (True, True)


async def test_counters_of_invitations_and_ratings_equal_a_recount(giving: Giving) -> None:
    await giving.tell(
        *(a_case(kind, f"C-{n}") for n in range(4) for kind in (CaseAccepted, CaseClosed))
    )
    await giving.tell(a_case(CaseClosed, "C-1"))
    for grade, link in zip((5, 1, 3), await giving.links(), strict=False):
        _ = await giving.rated(token=link, grade=grade)
    _ = await giving.rated(token=(await giving.links())[3], grade=4)

    recounted = await giving.get("statistics/recount", giving.administrator)
    counted = await giving.rows(
        "SELECT sum(invited) AS invited, sum(grade_5 + grade_4 + grade_3 + grade_1) AS rated"
        " FROM rating_count WHERE grain = 'department'"
    )

    assert recounted == {"equal": True, "differences": []}
    assert {name: int(number) for name, number in counted[0].items()} == {"invited": 8, "rated": 4}


async def test_three_stars_with_words_of_complaint_are_handled_like_a_bad_rating(
    giving: Giving,
) -> None:
    link = await giving.invited("C-1")
    other = await giving.invited("C-2")

    _ = await giving.rated(token=link, grade=3, text="窗口互相推, 我跑了三趟")
    _ = await giving.rated(token=other, grade=3, text="一般, 还可以")

    tickets = (await giving.get("tickets", giving.handler))["items"]
    assert [ticket["grade"] for ticket in tickets] == [3]


async def test_words_added_to_a_silent_rating_are_published_masked(giving: Giving) -> None:
    link = await giving.invited()
    rating = await giving.rated(token=link, grade=5)

    body = {"text": "谢谢窗口的师傅, 我的电话13989001234", "token": link}
    answer = await giving.client.post(
        f"/api/v1/ratings/ratings/{rating['id']}/supplements", json=body
    )

    rows = await giving.rows("SELECT due_on FROM publication")
    assert answer.status_code == 201, answer.text
    assert len(rows) == 1


async def test_every_fact_about_a_rating_tells_whether_it_is_under_a_name(giving: Giving) -> None:
    link = await giving.invited("C-1")
    rating = await giving.rated(token=link, grade=2, tags=["207"], real_name=False)
    headers = {"Rating-Token": link}
    path = f"{BASE}/ratings/{rating['id']}/supplements"
    added = await giving.client.post(
        path, json={"token": link, "text": "后来又去了一次"}, headers=headers
    )
    assert added.is_success, added.text
    ticket = await rectified(giving)
    outcome = await giving.get(f"tickets/{ticket['id']}/outcome", headers)
    _ = await act(giving, outcome, "re-rating", {"grade": 4}, headers)

    about = [fact for fact in await giving.facts("tongban.ratings.") if "rating_id" in fact]

    assert len(about) >= 5
    assert {fact["real_name"] for fact in about} == {False}

"""好差评 in the scenario: a bad rating by a link, its rectification and its publication."""

from datetime import datetime, time

from deploy.demo.answers import (
    Invitation,
    Outcome,
    Page,
    Problem,
    PublishedRating,
    Rating,
    SmsMessage,
    Ticket,
)
from deploy.demo.context import ALL, DemoContext, if_match
from deploy.demo.scenario import Citizen
from deploy.sample.accounts import BUREAU
from shared import clock
from shared.domain.workdays import seed_calendar

TEXT = "窗口没有材料样本, 我跑了两趟。有事请打{phone}。"
RECTIFIED = {
    "root_cause": "guide_wrong",
    "words": "办事指南缺少样表",
    "action": "已在办事指南补充样表并培训窗口人员",
}


async def invited(demo: DemoContext, citizen: Citizen) -> list[str]:
    """The tokens of the links that invite her to rate the closing of her case."""
    demo.section("Acceptance and closing invite her to rate")
    administrator = await demo.sign_in("administrator")

    async def ask() -> list[str] | None:
        path, query = "/ratings/development/sms-messages", {"phone": citizen.phone}
        answer = await demo.get(path, who=administrator, params=query)
        messages: list[SmsMessage] = answer.json()
        messages.sort(key=lambda message: message["sent_at"], reverse=True)
        tokens = [message["text"].rpartition("/rate/")[2] for message in messages]
        return tokens if len(tokens) >= 2 else None

    closing: list[str] = []
    stages: list[str] = []
    for token in await demo.until("two messages", ask):
        invitation: Invitation = (await demo.get(f"/ratings/invitations/{token}")).json()
        stages.append(invitation["stage"])
        if invitation["stage"] == "closing":
            closing.append(token)
    demo.check("what may be rated", sorted(stages), expected=["acceptance", "closing"])
    return closing


async def rate(demo: DemoContext, citizen: Citizen, *, token: str) -> Rating:
    """Two stars with tags through the link; once."""
    demo.section("She rates 2 with tags, through the link's token")
    body = {
        "token": token,
        "grade": 2,
        "tags": ["207", "213"],
        "contents": {"attitude": 3},
        "text": TEXT.format(phone=citizen.phone),
        "pf": "7",
        "sub_channel": "sms_link",
    }
    path = "/ratings/ratings"
    rating: Rating = (await demo.post(path, json=body, status=201)).json()
    again: Rating = (await demo.post(path, json=body, status=201)).json()
    demo.confirm("sent again, the same rating", again["id"] == rating["id"])
    better = {**body, "grade": 5, "tags": []}
    other: Problem = (await demo.post(path, json=better, status=409)).json()
    demo.say(f"   five stars afterwards are refused: {other['detail']}")
    clerk = await demo.sign_in("clerk")
    refused: Problem = (await demo.post(path, who=clerk, json=body, status=403)).json()
    demo.say(f"   a clerk who tries is refused: {refused['code']}")
    return rating


async def rectify(demo: DemoContext, citizen: Citizen, *, token: str, rating: Rating) -> None:
    """差评整改: verified, called back, rectified, answered; she judges it."""
    demo.section("The bad rating is followed to its end")
    ticket = await _ticket_of(demo, rating)
    demo.say(f"   the handler reads: {ticket['text']}")
    demo.confirm("her phone is masked in it", citizen.phone not in str(ticket))
    handler = await demo.sign_in("handler")
    early: Problem = (
        await demo.post(
            f"/ratings/tickets/{ticket['id']}/rectification/completion",
            who=handler,
            headers=if_match(ticket["revision"]),
            json=RECTIFIED,
            status=409,
        )
    ).json()
    demo.say(f"   closing now is refused; allowed: {', '.join(early['allowed'])}")
    acts: list[tuple[str, object]] = [
        ("verification", {"confirmed": True, "words": "情况属实"}),
        ("callbacks", {"reached": True, "words": "已电话回访, 表示歉意"}),
        ("rectification", {"kind": "simple", "words": "补充样表, 立即整改"}),
        ("rectification/completion", RECTIFIED),
        ("feedback", {"by": "phone", "words": "已告知整改结果"}),
    ]
    for path, body in acts:
        ticket = await _act(demo, ticket, path=path, body=body)
    await _judge(demo, ticket, token=token)


async def _ticket_of(demo: DemoContext, rating: Rating) -> Ticket:
    handler = await demo.sign_in("handler")
    answer = await demo.get("/ratings/tickets", who=handler, params=ALL)
    page: Page[Ticket] = answer.json()
    found = next(one for one in page["items"] if one["rating_id"] == rating["id"])
    return (await demo.get(f"/ratings/tickets/{found['id']}", who=handler)).json()


async def _act(demo: DemoContext, ticket: Ticket, *, path: str, body: object) -> Ticket:
    answer = await demo.post(
        f"/ratings/tickets/{ticket['id']}/{path}",
        who=await demo.sign_in("handler"),
        headers=if_match(ticket["revision"]),
        json=body,
    )
    return answer.json()


async def _judge(demo: DemoContext, ticket: Ticket, *, token: str) -> None:
    """She reads what was done and rates again, with the token of her link as proof."""
    proof = {"Rating-Token": token}
    path = f"/ratings/tickets/{ticket['id']}"
    outcome: Outcome = (await demo.get(f"{path}/outcome", who=proof)).json()
    demo.say(f"   she reads what was done: {outcome['action']}")
    answer = await demo.post(
        f"{path}/re-rating", who=proof, headers=if_match(outcome["revision"]), json={"grade": 4}
    )
    judged: Ticket = answer.json()
    demo.check("her judgement closes it", judged["state"], expected="closed")


async def publish(demo: DemoContext, citizen: Citizen, *, rating: Rating) -> None:
    """Six working days later (set, not waited for) everybody can read it, masked."""
    demo.section("Result and rectification are published")
    day = seed_calendar().add_working_days(clock.local_date(clock.now()), 6)
    body = {"as_of": datetime.combine(day, time(10), tzinfo=clock.SHANGHAI).isoformat()}
    administrator = await demo.sign_in("administrator")
    _ = await demo.post("/ratings/development/timer-runs", who=administrator, json=body)
    area, department = BUREAU
    query = {"area": area, "department": department, **ALL}
    page: Page[PublishedRating] = (await demo.get("/ratings/published", params=query)).json()
    shown = next(one for one in page["items"] if one["id"] == rating["id"])
    demo.say(f"   {shown['name']}: {shown['grade']} stars, {shown['text']}")
    demo.say(f"   what was done: {shown['rectification']['action']}")
    demo.check("grade that is published", shown["grade"], expected=2)
    private = (citizen.phone, citizen.id_number, citizen.name)
    leaked = [text for text in private if text in str(shown)]
    demo.confirm("without her name, number or phone", not leaked)

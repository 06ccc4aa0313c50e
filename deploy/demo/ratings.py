"""好差评 in the story: she rates by the link that came, is called, told what changed, and everybody can read it."""

from datetime import datetime, time
from typing import Any

from deploy.demo.stage import Stage
from deploy.demo.story import Person
from deploy.sample.accounts import BUREAU
from shared import clock
from shared.domain.workdays import seed_calendar

SAID = "窗口没有材料样本, 我跑了两趟。有事请打{phone}。"
DONE = {
    "root_cause": "guide_wrong",
    "words": "办事指南缺少样表",
    "action": "已在办事指南补充样表并培训窗口人员",
}


async def invited(stage: Stage, citizen: Person) -> list[str]:
    """The tokens of the links in her messages, the newest first: one for the acceptance, one for the end."""
    stage.scene("Acceptance and closing invite her to rate")

    async def ask() -> Any:
        query, who = {"phone": citizen.phone}, await stage.officer("administrator")
        messages = await stage.call("GET", "/ratings/development/sms-messages", who, params=query)
        links = [
            one["text"].rpartition("/rate/")[2]
            for one in sorted(messages, key=lambda m: m["sent_at"])
        ]
        return links[::-1] if len(links) >= 2 else None

    links = await stage.until("two messages", ask)
    shown = [await stage.call("GET", f"/ratings/invitations/{link}") for link in links]
    stage.check(
        "what may be rated", sorted(one["stage"] for one in shown), ["acceptance", "closing"]
    )
    return [link for link, one in zip(links, shown, strict=True) if one["stage"] == "closing"]


async def rate(stage: Stage, citizen: Person, link: str) -> Any:
    """Two stars with tags through the link; once."""
    stage.scene("She rates 2 with tags, through the link's token")
    said = {
        "token": link,
        "grade": 2,
        "tags": ["207", "213"],
        "contents": {"attitude": 3},
        "text": SAID.format(phone=citizen.phone),
        "pf": "7",
        "sub_channel": "sms_link",
    }
    rating = await stage.call("POST", "/ratings/ratings", status=201, json=said)
    again = await stage.call("POST", "/ratings/ratings", status=201, json=said)
    stage.confirm("sent again, the same rating", again["id"] == rating["id"])
    other = await stage.call(
        "POST", "/ratings/ratings", status=409, json={**said, "grade": 5, "tags": []}
    )
    stage.say(f"   five stars afterwards are refused: {other['detail']}")
    clerk = await stage.officer("clerk")
    refused = await stage.call("POST", "/ratings/ratings", clerk, status=403, json=said)
    stage.say(f"   a clerk who tries is refused: {refused['code']}")
    return rating


async def put_right(stage: Stage, citizen: Person, link: str, rating: Any) -> Any:
    """差评整改: verified, called back, rectified, told; she judges it."""
    stage.scene("The bad rating is followed to its end")
    handler = await stage.officer("handler")
    page = await stage.call("GET", "/ratings/tickets", handler, params={"limit": 200})
    ticket = next(one for one in page["items"] if one["rating_id"] == rating["id"])
    ticket = await stage.call("GET", f"/ratings/tickets/{ticket['id']}", handler)
    stage.say(f"   the handler reads: {ticket['text']}")
    stage.confirm("her phone is masked in it", citizen.phone not in str(ticket))
    early = await _act(stage, ticket, "rectification/completion", DONE, status=409)
    stage.say(f"   closing now is refused; allowed: {', '.join(early['allowed'])}")
    ticket = await _act(stage, ticket, "verification", {"confirmed": True, "words": "情况属实"})
    ticket = await _act(
        stage, ticket, "callbacks", {"reached": True, "words": "已电话回访, 表示歉意"}
    )
    ticket = await _act(
        stage, ticket, "rectification", {"kind": "simple", "words": "补充样表, 立即整改"}
    )
    ticket = await _act(stage, ticket, "rectification/completion", DONE)
    ticket = await _act(stage, ticket, "feedback", {"by": "phone", "words": "已告知整改结果"})
    proof = {"Rating-Token": link}
    outcome = await stage.call("GET", f"/ratings/tickets/{ticket['id']}/outcome", headers=proof)
    stage.say(f"   she reads what was done: {outcome['action']}")
    proof |= {"If-Match": f'"{outcome["revision"]}"'}
    path = f"/ratings/tickets/{ticket['id']}/re-rating"
    judged = await stage.call("POST", path, json={"grade": 4}, headers=proof)
    stage.check("her judgement closes it", judged["state"], "closed")


async def _act(stage: Stage, ticket: Any, path: str, body: Any, *, status: int = 200) -> Any:
    who, versioned = await stage.officer("handler"), {"If-Match": f'"{ticket["revision"]}"'}
    url = f"/ratings/tickets/{ticket['id']}/{path}"
    return await stage.call("POST", url, who, status=status, json=body, headers=versioned)


async def publish(stage: Stage, citizen: Person, rating: Any) -> None:
    """Six working days on (injected), everybody can read it, masked."""
    stage.scene("Result and rectification are published")
    day = seed_calendar().add_working_days(clock.local_date(clock.now()), 6)
    as_of = {"as_of": datetime.combine(day, time(10), tzinfo=clock.SHANGHAI).isoformat()}
    await stage.call(
        "POST", "/ratings/development/timer-runs", await stage.officer("administrator"), json=as_of
    )
    area, department = BUREAU
    query = {"area": area, "department": department, "limit": 200}
    page = await stage.call("GET", "/ratings/published", params=query)
    shown = next(one for one in page["items"] if one["id"] == rating["id"])
    stage.say(f"   {shown['name']}: {shown['grade']} stars, {shown['text']}")
    stage.say(f"   what was done: {shown['rectification']['action']}")
    stage.check("grade that is published", shown["grade"], 2)
    hidden = (citizen.phone, citizen.id_number, citizen.name)
    stage.confirm(
        "without her name, number or phone", not any(word in str(shown) for word in hidden)
    )

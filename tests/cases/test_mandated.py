"""An agent under a mandate (授权代办) applies for the principal.

The agent may do so only in the matters of the mandate.
"""

from uuid import uuid4

from shared.ids import new_id
from tests.cases.conftest import StackFixture
from tests.cases.test_materials import replaced
from tests.conftest import TokenFactory, published


async def test_agent_applies_and_acts_for_the_principal(
    stack: StackFixture, token: TokenFactory
) -> None:
    principal, agent = str(uuid4()), str(uuid4())
    acting = token(
        sub=principal, act={"sub": agent}, mandate=str(uuid4()), matters=[str(stack.matter_id)]
    )

    case = await stack.apply(acting)
    shown = await stack.get(f"files/{case['id']}", token(sub=principal))
    withdrawn = await stack.do(case, "withdrawal", acting)
    timeline = await stack.get(f"files/{case['id']}/timeline", token(sub=principal))

    assert (shown["id"], withdrawn["state"]) == (case["id"], "withdrawn")
    assert [(step["act"], step["agent_id"]) for step in timeline] == [
        ("receive", agent),
        ("withdraw", agent),
    ]
    facts = [event for event in await published(stack.client.database) if event.key == case["id"]]
    assert {event.actor for event in facts} == {agent}


async def test_mandate_for_another_matter_opens_nothing(
    stack: StackFixture, token: TokenFactory
) -> None:
    principal = str(uuid4())
    own = token(sub=principal)
    acting = token(
        sub=principal, act={"sub": str(uuid4())}, mandate=str(uuid4()), matters=[str(uuid4())]
    )
    case = await stack.apply(own)

    applied = await stack.post(await stack.application(acting), acting)
    read = await stack.client.get(f"/api/v1/cases/files/{case['id']}", headers=acting)
    withdrawn = await stack.act(case, "withdrawal", acting)

    assert [answer.status_code for answer in (applied, read, withdrawn)] == [403, 404, 404]
    assert (await stack.get("files", acting))["items"] == []
    assert [one["id"] for one in (await stack.get("files", own))["items"]] == [case["id"]]
    assert [step["agent_id"] for step in await stack.get(f"files/{case['id']}/timeline", own)] == [
        None
    ]


async def test_agent_draws_no_material_from_a_case_beyond_the_mandate(
    stack: StackFixture, token: TokenFactory
) -> None:
    principal = str(uuid4())
    earlier = await stack.apply(token(sub=principal))
    first, stack.matter_id = stack.matter_id, new_id()
    await stack.publish()
    answers: list[int] = []
    for matters in ([stack.matter_id], [stack.matter_id, first]):
        acting = token(
            sub=principal,
            act={"sub": str(uuid4())},
            mandate=str(uuid4()),
            matters=[str(m) for m in matters],
        )
        body = await stack.application(acting)
        again = {"kind": "earlier_case", "code": "M2", "earlier_case_id": earlier["id"]}

        answers.append((await stack.post(replaced(body, "M2", again), acting)).status_code)
        case = await stack.apply(acting)
        asked = {"items": [{"text": "缺件"}]}
        case = await stack.do(case, "correction-requests", stack.officer("window_clerk"), asked)
        answers.append(
            (await stack.act(case, "corrections", acting, {"materials": [again]})).status_code
        )

    assert answers == [400, 400, 201, 200]

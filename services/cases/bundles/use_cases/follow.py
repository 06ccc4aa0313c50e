"""What follows for the others when a child of a one-thing application comes to its end: received at last, or closed."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.model import RESULT, BundleCase, Standing, standing
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.timeline import TimelineRow
from shared.database import audit
from shared.domain.workdays import Moment
from shared.events.base import Event
from shared.ids import new_id
from shared.messaging import outbox


async def follow_bundle(session: AsyncSession, case: Case, at: Moment) -> None:
    """Receive the children for which everything is granted now; close those whose turn will never come.

    Whoever can end a child holds the parent's lock since before that of the child, so that of two that end at the same
    time the second sees the first.
    """
    assert case.bundle_case_id is not None
    if standing(case.state, case.result) is Standing.OPEN:
        return
    waiting = {
        str(one.id): one for one in await bundle_queries.list_waiting(session, case.bundle_case_id)
    }
    if not waiting:
        return
    parent = await bundle_queries.get_bundle_case(session, case.bundle_case_id)
    ends = await bundle_queries.list_ends(session, parent.id)
    names = {entry["code"]: ends[entry["case_id"]].matter_name for entry in parent.plan}
    stands = {
        e["code"]: standing(ends[e["case_id"]].state, ends[e["case_id"]].result)
        for e in parent.plan
    }
    # In any order the plan may have: each round settles those whose predecessors are settled, and at least one, or it ends.
    settled = True
    while settled:
        settled = False
        for entry in parent.plan:
            child = waiting.get(entry["case_id"])
            if child is None:
                continue
            ended = [code for code in entry["after"] if stands[code] is Standing.ENDED]
            if ended:
                reasons = (
                    f"所依事项未办成, 本事项不再办理: {'、'.join(names[code] for code in ended)}"
                )
                _follow(session, child, "return", child.give_up_waiting(reasons, at), at, reasons)
            elif all(stands[code] is Standing.GRANTED for code in entry["after"]):
                fact = child.receive_waiting(_results(parent, entry["code"]), at)
                _follow(session, child, "receive", fact, at)
            else:
                continue
            stands[entry["code"]], settled = standing(child.state, child.result), True
            del waiting[entry["case_id"]]


def _results(parent: BundleCase, code: str) -> list[dict[str, str]]:
    """The results of the others as materials of this child."""
    cases = {entry["code"]: entry["case_id"] for entry in parent.plan}
    links = next(entry["results"] for entry in parent.plan if entry["code"] == code)
    return [
        {
            "code": link["material"],
            "kind": "earlier_case",
            "earlier_case_id": cases[link["of"]],
            "earlier_code": RESULT,
        }
        for link in links
    ]


def _follow(
    session: AsyncSession, child: Case, act: str, fact: Event, at: Moment, note: str | None = None
) -> None:
    outbox.add(session, fact)
    step = {"act": act, "role": "intake", "agent_id": None, "note": note, "at": at.now}
    session.add(TimelineRow(id=new_id(), case_id=child.id, **step))
    audit.record(session, f"case.{act}", "case", child.id, reason=note, revision=child.revision)

"""What follows for the other children of a bundle when one has come to its end."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.model import RESULT, BundleCase, PlanEntry, Standing, standing
from services.cases.case_file.model.case import Case
from services.cases.case_file.model.enums import StepRole
from services.cases.case_file.model.materials import FromEarlierCase, StoredMaterial
from services.cases.case_file.model.states import CaseAct
from services.cases.journal import Journal, step_of
from shared.domain.workdays import Moment


async def follow_bundle(session: AsyncSession, case: Case, *, at: Moment) -> list[Case]:
    """Receive the children for which everything is granted now; close those that wait in vain.

    Returns the children that have changed. Whoever can end a child has locked the parent before the
    child, so of two acts at the same time the second sees the effect of the first.
    """
    assert case.bundle_case_id is not None
    if standing(case.state, case.result) is Standing.OPEN:
        return []
    waiting: dict[UUID, Case] = {}
    for child in await bundle_queries.list_waiting(session, case.bundle_case_id):
        waiting[child.id] = child
    if not waiting:
        return []
    parent = await bundle_queries.get_bundle_case(session, case.bundle_case_id)
    ends = await bundle_queries.list_ends(session, parent.id)
    names: dict[str, str] = {}
    standings: dict[str, Standing] = {}
    for entry in parent.plan:
        end = ends[entry.case_id]
        names[entry.code] = end.matter_name
        standings[entry.code] = standing(end.state, end.result)
    journal = Journal(session, at.now)
    changed: list[Case] = []
    # A child that is closed can end others, and the plan may name them before it. So go through
    # the plan until nothing changes any more.
    found = True
    while found:
        found = False
        for entry in parent.plan:
            child = waiting.get(entry.case_id)
            if child is None:
                continue
            ended = [code for code in entry.after if standings[code] is Standing.ENDED]
            if ended:
                _close(child, [names[code] for code in ended], journal=journal, at=at)
            elif _all_granted(entry, standings):
                _receive(child, _results_for(parent, entry), journal=journal, at=at)
            else:
                continue
            standings[entry.code] = standing(child.state, child.result)
            del waiting[entry.case_id]
            changed.append(child)
            found = True
    await journal.write()
    return changed


def _all_granted(entry: PlanEntry, standings: Mapping[str, Standing]) -> bool:
    return all(standings[code] is Standing.GRANTED for code in entry.after)


def _close(child: Case, ended: list[str], *, journal: Journal, at: Moment) -> None:
    """退件: the named matters ended without a grant."""
    reasons = f"所依事项未办成, 本事项不再办理: {'、'.join(ended)}"
    closed = child.give_up_waiting(reasons, at)
    journal.append(step_of(child, CaseAct.RETURN, role=StepRole.INTAKE, note=reasons), closed)


def _receive(child: Case, results: list[StoredMaterial], *, journal: Journal, at: Moment) -> None:
    received = child.receive_waiting(results, at)
    journal.append(step_of(child, CaseAct.RECEIVE, role=StepRole.INTAKE), received)


def _results_for(parent: BundleCase, entry: PlanEntry) -> list[StoredMaterial]:
    """The results of the others as materials of this child."""
    case_ids = {other.code: other.case_id for other in parent.plan}
    results: list[StoredMaterial] = []
    for result in entry.results:
        material = FromEarlierCase(
            code=result.material, earlier_case_id=case_ids[result.of], earlier_code=RESULT
        )
        results.append(material)
    return results

"""What follows for the other children of a bundle when one has come to its end."""

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass
class Progress:
    """How far the children of an application have come; `waiting` holds those to be decided on."""

    parent: BundleCase
    waiting: dict[UUID, Case]
    names: dict[str, str]
    standings: dict[str, Standing]

    def ended_before(self, entry: PlanEntry) -> list[str]:
        """Names of the matters that this child waits for and that ended without a grant."""
        ended = [code for code in entry.after if self.standings[code] is Standing.ENDED]
        return [self.names[code] for code in ended]

    def is_free(self, entry: PlanEntry) -> bool:
        """Whether everything that this child waits for is granted."""
        return all(self.standings[code] is Standing.GRANTED for code in entry.after)

    def settle(self, entry: PlanEntry) -> None:
        """The child waits no longer."""
        child = self.waiting.pop(entry.case_id)
        self.standings[entry.code] = standing(child.state, child.result)


async def follow_bundle(session: AsyncSession, case: Case, *, at: Moment) -> list[Case]:
    """Receive the children for which everything is granted now; close those that wait in vain.

    Returns the children that have changed. Whoever can end a child has locked the parent before the
    child, so of two acts at the same time the second sees the effect of the first.
    """
    assert case.bundle_case_id is not None
    if standing(case.state, case.result) is Standing.OPEN:
        return []
    # Most ends concern nobody: then this is the only statement.
    waiting = await bundle_queries.list_waiting(session, case.bundle_case_id)
    if not waiting:
        return []
    progress = await _progress(session, case.bundle_case_id, waiting=waiting)
    journal = Journal(session, at.now)
    changed: list[Case] = []
    # A child that is closed can end others, and the plan may name them before it. So go through
    # the plan until nothing changes any more.
    round_changed = _follow_once(progress, journal, at=at)
    while round_changed:
        changed += round_changed
        round_changed = _follow_once(progress, journal, at=at)
    await journal.write()
    return changed


async def _progress(
    session: AsyncSession, bundle_case_id: UUID, *, waiting: Iterable[Case]
) -> Progress:
    parent = await bundle_queries.get_bundle_case(session, bundle_case_id)
    ends = await bundle_queries.list_ends(session, parent.id)
    progress = Progress(parent, {child.id: child for child in waiting}, names={}, standings={})
    for entry in parent.plan:
        end = ends[entry.case_id]
        progress.names[entry.code] = end.matter_name
        progress.standings[entry.code] = standing(end.state, end.result)
    return progress


def _follow_once(progress: Progress, journal: Journal, *, at: Moment) -> list[Case]:
    """Go through the plan once; the children that have changed."""
    changed: list[Case] = []
    for entry in progress.parent.plan:
        child = progress.waiting.get(entry.case_id)
        if child is None:
            continue
        ended = progress.ended_before(entry)
        if ended:
            _close(child, ended, journal=journal, at=at)
        elif progress.is_free(entry):
            _receive(child, _results_for(progress.parent, entry), journal=journal, at=at)
        else:
            continue
        # Later entries of this round may wait for this one.
        progress.settle(entry)
        changed.append(child)
    return changed


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
        # A reference, not a copy: results have no files yet (docs/limits.md).
        material = FromEarlierCase(
            code=result.material, earlier_case_id=case_ids[result.of], earlier_code=RESULT
        )
        results.append(material)
    return results

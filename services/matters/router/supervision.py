"""HTTP out of supervision records (监管)."""

from collections import Counter

from fastapi import APIRouter

from services.matters.queries import supervision
from services.matters.router.access import AreaCode, DepartmentCode
from services.matters.schemas.supervision import SupervisionCountRead, SupervisionStatistics
from shared.errors import ForbiddenError
from shared.http.dependencies import ReadSession
from shared.security.auth import CurrentCaller
from shared.security.tokens import CallerKind

router = APIRouter(prefix="/supervision")

OVERSEERS = frozenset({"supervisor", "administrator"})
"""Who sees the figures of every department."""


@router.get("/statistics")
async def get_supervision_statistics(
    session: ReadSession,
    caller: CurrentCaller,
    area: AreaCode = None,
    department: DepartmentCode = None,
) -> SupervisionStatistics:
    """汇聚数据量: how many supervision records there are, by behaviour and department.

    Officers see their own department.
    """
    if caller.kind is not CallerKind.STAFF:
        raise ForbiddenError("this is for staff")
    if not OVERSEERS & caller.roles:
        own_area = caller.area or ""
        own_department = caller.department or ""
        if area not in {None, own_area} or department not in {None, own_department}:
            raise ForbiddenError("another department's records are for supervisors")
        area, department = own_area, own_department
    rows = await supervision.count_supervision(session, area=area, department=department)
    totals = Counter[str]()
    departments: list[SupervisionCountRead] = []
    for row in rows:
        totals[row.behaviour.value] += row.records
        departments.append(
            SupervisionCountRead(
                area_code=row.area_code,
                department_code=row.department_code,
                behaviour=row.behaviour,
                records=row.records,
            )
        )
    return SupervisionStatistics(
        records=totals.total(), by_behaviour=dict(sorted(totals.items())), departments=departments
    )

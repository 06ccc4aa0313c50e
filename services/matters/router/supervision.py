"""HTTP out of supervision records (监管)."""

from collections import Counter
from typing import Any

from fastapi import APIRouter

from services.matters.queries import supervision
from services.matters.router.access import AreaCode, DepartmentCode
from services.matters.schemas.supervision import SupervisionStatistics
from shared.errors import ForbiddenError
from shared.http.dependencies import ReadSession
from shared.security.auth import CurrentCaller

router = APIRouter(prefix="/supervision")

OVERSEERS = frozenset({"supervisor", "administrator"})
"""Who sees the figures of every department."""


@router.get("/statistics", response_model=SupervisionStatistics)
async def get_supervision_statistics(
    session: ReadSession,
    caller: CurrentCaller,
    area: AreaCode = None,
    department: DepartmentCode = None,
) -> Any:
    """汇聚数据量: how many supervision records there are, by behaviour and department; officers see their own department."""
    if caller.kind != "staff":
        raise ForbiddenError("this is for staff")
    if not OVERSEERS & caller.roles:
        asked, own = (area, department), (caller.area or "", caller.department or "")
        if any(one not in {None, other} for one, other in zip(asked, own, strict=True)):
            raise ForbiddenError("another department's records are for supervisors")
        area, department = own
    rows = await supervision.count_supervision(session, area, department)
    behaviours: Counter[str] = Counter()
    for row in rows:
        behaviours[row.behaviour] += row.records
    return {
        "records": behaviours.total(),
        "by_behaviour": dict(sorted(behaviours.items())),
        "departments": [row._asdict() for row in rows],
    }

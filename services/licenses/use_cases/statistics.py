"""Statistics of licenses; each share comes with its numerator and denominator."""

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.records import COUNTS
from services.licenses.queries import records
from services.licenses.schemas.jobs import Share, StatisticsRead
from shared.database.direct import Direct


class FoldedRow(NamedTuple):
    number: int


_NAMES = ", ".join(COUNTS)
_SUMS = ", ".join(f"sum({name})" for name in COUNTS)
_ADDED = ", ".join(f"{name} = c.{name} + excluded.{name}" for name in COUNTS)
FOLD = Direct(
    f"""WITH taken AS (
    DELETE FROM license_counting WHERE position IN (
        SELECT position FROM license_counting ORDER BY position LIMIT 5000 FOR UPDATE SKIP LOCKED
    )
    RETURNING area_code, department_code, type_code, {_NAMES}
),
folded AS (
    INSERT INTO license_count AS c (area_code, department_code, type_code, {_NAMES})
    SELECT area_code, department_code, type_code, {_SUMS}
    FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (area_code, department_code, type_code) DO UPDATE SET {_ADDED}
)
SELECT count(*) AS number FROM taken""",
    FoldedRow,
)


async def fold_counts(session: AsyncSession) -> int:
    """Add waiting counts to the sums; how many rows that were."""
    row = await FOLD.first(session)
    assert row is not None
    return row.number


def _share(numerator: int, *, denominator: int) -> Share:
    share: float | None = None
    if denominator:
        share = round(numerator / denominator, 4)
    return Share(numerator=numerator, denominator=denominator, share=share)


async def get_statistics(
    session: AsyncSession, *, area: str | None, department: str | None, type_code: str | None
) -> StatisticsRead:
    """Of an area, a department, a type; None means all."""
    row = await records.get_statistics(
        session, area=area, department=department, type_code=type_code
    )
    return StatisticsRead(
        types=row.types,
        collected=row.collected,
        issued=row.issued,
        signed=row.signed,
        uses=row.uses,
        refused_uses=row.refused_uses,
        issue_rate=_share(row.signed, denominator=row.collected + row.issued),
        reuse_rate=_share(row.licenses_used, denominator=row.license_materials),
    )

"""Figures of licences, each share with its numerator and denominator."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.records import COUNTS
from services.licenses.queries import records

_NAMES = ", ".join(COUNTS)
FOLD = text(
    "WITH taken AS (DELETE FROM license_counting WHERE position IN (SELECT position FROM license_counting"
    f" ORDER BY position LIMIT 5000 FOR UPDATE SKIP LOCKED) RETURNING area_code, department_code, type_code, {_NAMES}),"
    f" folded AS (INSERT INTO license_count AS c (area_code, department_code, type_code, {_NAMES})"
    f" SELECT area_code, department_code, type_code, {', '.join(f'sum({name})' for name in COUNTS)}"
    " FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    " ON CONFLICT (area_code, department_code, type_code) DO UPDATE SET"
    f" {', '.join(f'{name} = c.{name} + excluded.{name}' for name in COUNTS)})"
    " SELECT count(*) FROM taken"
)


async def fold_counts(session: AsyncSession) -> int:
    """Add the counts that came since to the sums; how many rows that were."""
    return await session.scalar(FOLD) or 0


def _share(numerator: int, denominator: int) -> dict[str, Any]:
    share = round(numerator / denominator, 4) if denominator else None
    return {"numerator": numerator, "denominator": denominator, "share": share}


async def get_statistics(
    session: AsyncSession, area: str | None, department: str | None, type_code: str | None
) -> dict[str, Any]:
    """Of an area, a department, a type, or of all."""
    row = await records.get_statistics(session, area, department, type_code)
    names = ("types", "collected", "issued", "signed", "uses", "refused_uses")
    return {
        **{name: getattr(row, name) for name in names},
        "issue_rate": _share(row.signed, row.collected + row.issued),
        "reuse_rate": _share(row.licenses_used, row.license_materials),
    }

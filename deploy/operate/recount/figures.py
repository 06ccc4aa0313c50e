"""The figures of one day as the owners' tables give them: what the daily report must say."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

import asyncpg

from deploy.operate.recount.checks import ASSESSMENT, Check, Side

Cell = tuple[str, str, str]
"""Area, department, measure."""

OF_DAY = "SELECT key, value FROM ({side}) AS s WHERE key LIKE $1"
OF_ALL_DAYS = "SELECT key, value FROM ({side}) AS s"


async def count_day(databases: Mapping[str, str], day: date) -> Counter[Cell]:
    """Every figure of `day`; stocks (published matters, open tickets) are counted as they are now.

    `databases` are the URLs of the services' databases. Figures whose rows have no day are left
    out.
    """
    found: Counter[Cell] = Counter()
    for check in ASSESSMENT:
        if check.kind == "counts" and not check.is_local:
            for owner in check.owners:
                found.update(await _count(databases[owner.service], owner, check=check, day=day))
    return found


async def _count(url: str, owner: Side, *, check: Check, day: date) -> Counter[Cell]:
    found: Counter[Cell] = Counter()
    connection = await asyncpg.connect(url)
    try:
        if check.name.startswith("assessment.stock_total"):
            rows = await connection.fetch(OF_ALL_DAYS.format(side=owner.statement))
        else:
            rows = await connection.fetch(OF_DAY.format(side=owner.statement), f"{day}/%")
    finally:
        await connection.close()
    for row in rows:
        area, department, measure = row["key"].split("/")[-3:]
        if row["value"]:
            found[area, department, measure] += row["value"]
    return found

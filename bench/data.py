"""Data by the million, made inside PostgreSQL from one real row.

So every column has its real shape.
"""

import random
from collections.abc import Iterator, Mapping
from itertools import count, product
from typing import Any
from uuid import UUID

import asyncpg

from deploy.sample import catalogue
from shared import clock
from shared.events.cases import CaseReceived

# Cases spread over 60 due days, far enough that no timer acts on them meanwhile; one in ten is
# closed.
CASES = {
    "id": "uuidv7(make_interval(secs => -(n % 5000000)))",
    "number": "'BENCH' || lpad(n::text, 38, '0')",
    "account_id": "md5((n % 50000)::text)::uuid",
    "watch_on": "current_date + 30",
    "due_on": "current_date + 30 + (n % 60)::int",
    "state": "CASE WHEN n % 10 = 0 THEN 'closed' ELSE 'received' END",
}
INDUSTRIES = (
    "食品 药品 餐饮 旅馆 茶馆 商店 道路 建筑 水利 农机 种子 畜牧 林木 草原 矿产 出版 广播 文物"
    " 体育 旅游 教育 医疗 护士 教师 律师"
    " 消防 电力 燃气 供水 排水 户外广告 养老 殡葬 社会保险 公积金 不动产 户籍 婚姻 生育 残疾人"
).split()
OBJECTS = (
    "经营 生产 设立 使用 运输 施工 执业 采伐 加工 储存 销售 检验 占用 建设 资质 资格"
    " 场所 设备 人员 项目"
).split()
ACTS = "许可 核准 备案 登记 审批 确认 给付 变更 注销 延续 补办 换发 年检 认定 查询".split()
SCOPES = ("", "(新办)", "(变更)", "(延续)", "(注销)", "(简易)", "(一次性告知)")


def names() -> Iterator[str]:
    """Different plausible names of matters, without end.

    There are some 84,000 combinations; after them the names are numbered.
    """
    kinds = [a + b + c + d for a, b, c, d in product(INDUSTRIES, OBJECTS, ACTS, SCOPES)]
    random.Random(1).shuffle(kinds)
    yield from kinds
    for turn in count(2):
        yield from (f"{name}第{turn}类" for name in kinds)


def documents(number: int) -> list[dict[str, Any]]:
    """`number` different matter documents with guides.

    They are copies of the sample's documents, each with codes and a name of its own.
    """
    samples, made, named = catalogue.documents(), [], names()
    for n in range(number):
        sample = samples[n % len(samples)]
        basic = f"00{sample['type']}{n // 1000 % 100:02d}{n % 1000:03d}{n // 100_000:03d}"
        unit = sample["department_code"] + sample["level"]
        code = unit + basic
        own: dict[str, Any] = {"code": code, "catalog_code": basic, "name": {"zh": next(named)}}
        if entry := sample.get("catalog_entry"):
            own["catalog_entry"] = {**entry, "code": basic}
        if items := sample.get("handling_items"):
            own["handling_items"] = [{**item, "code": code + item["sequence"]} for item in items]
        made.append({**sample, **own})
    return made


async def clone(
    connection: asyncpg.Connection,
    table: str,
    changes: Mapping[str, str],
    source: str,
    template: str,
) -> None:
    """Insert one row into `table` for each row of `source`.

    The new rows are like the row where `template` holds, except for `changes` (SQL).
    """
    columns = await connection.fetch(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_name = $1 AND table_schema = 'public'",
        table,
    )
    named = {row["column_name"]: f't."{row["column_name"]}"' for row in columns}
    chosen = {**named, **{name: sql for name, sql in changes.items() if name in named}}
    listed = ", ".join(f'"{name}"' for name in chosen)
    _ = await connection.execute(
        f"INSERT INTO {table} ({listed}) SELECT {', '.join(chosen.values())}"
        f" FROM (SELECT * FROM {table} WHERE {template} LIMIT 1) t, {source}",
        timeout=600,
    )


async def clone_cases(dsn: str, first: int, last: int) -> None:
    """Cases number `first` to `last`, like a real one."""
    connection = await asyncpg.connect(dsn)
    try:
        template = "number NOT LIKE 'BENCH%'"
        await clone(connection, "case_file", CASES, f"generate_series({first}, {last}) n", template)
        _ = await connection.execute("VACUUM (ANALYZE, FREEZE) case_file", timeout=600)
        _ = await connection.execute("CHECKPOINT", timeout=600)
    finally:
        await connection.close()


def a_fact(case_id: UUID) -> CaseReceived:
    """A case received now by the city's market bureau."""
    today = clock.local_date(clock.now())
    return CaseReceived(
        case_id=case_id,
        revision=1,
        occurred_at=clock.now(),
        number=f"BENCH{case_id.hex}",
        area_code=catalogue.CITY,
        department_code=catalogue.department_code(catalogue.CITY, bureau="market"),
        matter_id=None,
        matter_code=None,
        matter_name="食品经营许可",
        matter_type="01",
        immediate=False,
        channel="mobile",
        applicant_kind="person",
        account_id=None,
        received_on=today,
        acceptance_due_on=today,
    )

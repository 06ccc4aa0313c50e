"""Search by any two characters; import of catalogue files, judged row by row."""

import csv
import io
import random
import resource
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from services.matters import search
from tests.builders.matters import CITY, CODE, DEPARTMENT, a_document
from tests.conftest import Headers, ServiceClient, published
from tests.matters.conftest import BASE, Keeper

REAL = Path(__file__).resolve().parents[3] / "shared/data/matters-511602.csv"
HEADING = [
    "department",
    "main_item",
    "name",
    "item_code",
    "area_code",
    "task_type",
    "department_code",
]
NAMES = [
    "我要开茶馆",
    "茶馆歇业备案",
    "开餐馆",
    "食品经营许可",
    "居民身份证补领",
    "不动产转移登记",
    "婚姻登记",
    "户外广告设置许可",
]


def row(name: str, code: str, **changes: str) -> dict[str, str]:
    values = ["市场监督管理局", "未分类", name, code, CITY, "1", DEPARTMENT]
    return {**dict(zip(HEADING, values, strict=True)), **changes}


def a_csv(
    rows: Sequence[dict[str, str]], heading: Sequence[str] = HEADING, encoding: str = "utf-8"
) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, heading)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


async def send(
    client: ServiceClient, headers: Headers, content: bytes, key: str | None = None
) -> httpx.Response:
    key = key or f"import-{random.random()}"
    return await client.post(
        f"{BASE}/imports", content=content, headers={**headers, "Idempotency-Key": key}
    )


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in ("accepted", "changed", "unchanged", "refused"))


async def found(client: ServiceClient, **params: Any) -> list[str]:
    answer = await client.get(f"{BASE}/catalogue", params=params)
    assert answer.status_code == 200, answer.text
    return [item["name"]["zh"] for item in answer.json()["items"]]


@pytest.fixture
async def stocked(client: ServiceClient, administrator: Headers) -> ServiceClient:
    answer = await send(
        client, administrator, a_csv([row(name, f"L-{n}") for n, name in enumerate(NAMES)])
    )
    assert counts(answer.json()) == (len(NAMES), 0, 0, 0), answer.text
    return client


async def test_every_two_neighbouring_characters_find_the_name(stocked: ServiceClient) -> None:
    for name in NAMES:
        for start in range(len(name) - 1):
            assert name in await found(stocked, q=name[start : start + 2]), (name, start)


async def test_exact_comes_before_prefix_before_part(stocked: ServiceClient) -> None:
    assert await found(stocked, q="茶馆") == ["茶馆歇业备案", "我要开茶馆"]
    assert (await found(stocked, q="开餐馆"))[0] == "开餐馆"


async def test_what_people_call_a_matter_comes_before_names_that_only_hold_the_word(
    client: ServiceClient, keeper: Keeper
) -> None:
    for number, (name, aliases) in enumerate(
        (("糌粑证遗失说明（补办）", []), ("补办糌粑证", []), ("生育登记", ["糌粑证"]))
    ):
        changes: dict[str, Any] = {
            "name": {"zh": name},
            "aliases": aliases,
            "local_code": f"L-{number}",
        }
        _ = await keeper.publish(a_document(code=None, catalog_code=None, **changes))

    assert (await found(client, q="糌粑证"))[:2] == ["糌粑证遗失说明（补办）", "生育登记"]
    assert (await found(client, q="说明（补"))[0] == "糌粑证遗失说明（补办）"


async def test_a_word_in_more_names_than_are_ranked_finds_the_best_ones(
    client: ServiceClient, administrator: Headers
) -> None:
    long = [row(f"关于某某事项的登记业务办理第{n}号", f"L-{n}") for n in range(1200)]
    good = [
        row("登记", "A-1"),
        row("登记备查的很长很长很长很长的一个名称", "A-2"),
        row("户口登记", "A-3"),
    ]
    _ = await send(client, administrator, a_csv([*long, *good]))

    hits = await found(client, q="登记")
    in_type = await found(client, q="登记", type="20")

    assert hits[:3] == ["登记", "登记备查的很长很长很长很长的一个名称", "户口登记"]
    assert (len(hits), in_type) == (20, [])


async def test_rows_from_before_the_marks_get_the_same_ones(
    client: ServiceClient, keeper: Keeper
) -> None:
    _ = await keeper.publish(a_document())
    migration = import_module("services.matters.migrations.versions.20261125_search_marks")
    connection = await client.database.connect()
    expected = await connection.fetchval("SELECT search::text FROM matter")
    _ = await connection.execute(
        "UPDATE matter SET search = array_to_tsvector("
        "ARRAY(SELECT lexeme FROM unnest(search) WHERE lexeme !~ '^[@=^]'))"
    )
    words = await connection.fetchval("SELECT search::text FROM matter")

    _ = await connection.execute(migration.MARKS)

    assert words != expected
    assert await connection.fetchval("SELECT search::text FROM matter") == expected
    await connection.close()


async def test_colloquial_words_find_the_official_name(stocked: ServiceClient) -> None:
    assert await found(stocked, q="身份证丢了") == ["居民身份证补领"]
    assert await found(stocked, q="房产证过户") == []
    assert await found(stocked, q="开饭馆") == ["开餐馆"]


async def test_codes_departments_and_tibetan_syllables_find(
    client: ServiceClient, keeper: Keeper
) -> None:
    _ = await keeper.publish(a_document())

    for words in (CODE, CODE.lower(), "甜茶馆", "市场监督", "ཇ་ཁང", "食品经营"):
        assert await found(client, q=words) == ["我要开茶馆"], words
    tibetan = await client.get(
        f"{BASE}/catalogue", params={"q": "茶馆"}, headers={"accept-language": "bo"}
    )
    assert tibetan.json()["items"][0]["display_name"] == "ཇ་ཁང་འཛུགས་པ།"


async def test_pages_of_a_search_and_of_the_list_hold_everything_once(
    stocked: ServiceClient,
) -> None:
    for params in ({}, {"q": "L-"}, {"q": "登记"}):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = {**params, "limit": 2, **({"cursor": cursor} if cursor else {})}
            body = (await stocked.get(f"{BASE}/catalogue", params=page)).json()
            seen += [item["id"] for item in body["items"]]
            cursor = body["next"]
        assert len(seen) == len(set(seen)) == len(await found(stocked, **params, limit=200))


async def test_filters(client: ServiceClient, keeper: Keeper) -> None:
    _ = await keeper.publish(a_document())
    hits = [
        {"area": CITY},
        {"department": DEPARTMENT},
        {"type": "01"},
        {"object": "2"},
        {"level": 3},
        {"topic": "食品经营"},
        {"one_visit": True},
    ]
    misses = [
        {"area": "110000000000"},
        {"department": "X"},
        {"type": "20"},
        {"object": "5"},
        {"level": 4},
        {"topic": "婚姻"},
        {"wholly_online": True},
    ]

    for more in ({}, {"q": "茶馆"}):
        for params in hits:
            assert await found(client, **params, **more) == ["我要开茶馆"], params
        for params in misses:
            assert await found(client, **params, **more) == [], params


@pytest.mark.parametrize(
    "params",
    [{"q": "茶"}, {"q": "\x00\x00"}, {"q": "x" * 61}, {"level": 5}, {"type": "99"}, {"limit": 201}],
)
async def test_bad_search_is_400(client: ServiceClient, params: dict[str, Any]) -> None:
    assert (await client.get(f"{BASE}/catalogue", params=params)).status_code == 400


@pytest.mark.parametrize("words", ["%%", "__", "''''", "\\\\", "&|!", "!!", "  a"])
async def test_special_characters_are_only_characters(stocked: ServiceClient, words: str) -> None:
    assert await found(stocked, q=words) == []


async def test_suggestions_while_typing(stocked: ServiceClient) -> None:
    items = (await stocked.get(f"{BASE}/suggestions", params={"q": "开茶"})).json()["items"]

    assert [item["name"] for item in items] == ["我要开茶馆"]


@given(st.text("开茶馆店登记许可证一二三ཀཁག་ab1 ", min_size=2, max_size=12), st.data())
def test_words_of_a_part_are_among_the_words_of_the_whole(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 2))
    part = name[start : start + 2]
    chinese = search.CHINESE.fullmatch(part)

    assert not chinese or set(search.query_words(part)) <= set(search.tokens([name]))


PLANTED = [
    row("好的事项", "L-1"),
    row("重复的事项", "L-1"),
    row("少一位的国家编码", CODE[:-1]),
    row("未知区划", "L-4", area_code="540999000000"),
    row("未知类型", "L-5", task_type="99"),
    row("", "L-6"),
    row("国家编码的事项", CODE),
    row("区划写错", "L-8", area_code="54"),
]
EXPECTED = {
    3: ("item_code", "unique"),
    4: ("item_code", "structure"),
    5: ("area_code", "known_area"),
    6: ("task_type", "matter_type"),
    7: ("name", "required"),
    9: ("area_code", "structure"),
}
CHINESE_HEADING = {
    "department": "部门",
    "main_item": "主项名称",
    "name": "事项名称",
    "item_code": "事项编码",
    "area_code": "区划编码",
    "task_type": "事项类型",
    "department_code": "部门编码",
}


@pytest.mark.parametrize("form", ["utf-8", "gbk", "utf-8-sig", "shuffled", "xlsx"])
async def test_planted_faults_come_back_row_by_row(
    client: ServiceClient, administrator: Headers, form: str
) -> None:
    if form == "xlsx":
        content = a_workbook([HEADING, *([entry[name] for name in HEADING] for entry in PLANTED)])
    elif form == "shuffled":
        heading = random.Random(1).sample(HEADING, len(HEADING))
        rows = [{CHINESE_HEADING[name]: entry[name] for name in HEADING} for entry in PLANTED]
        content = a_csv(rows, [CHINESE_HEADING[name] for name in heading], "gbk")
    else:
        content = a_csv(PLANTED, encoding=form)

    report = (await send(client, administrator, content)).json()
    again = (await send(client, administrator, content)).json()

    assert counts(report) == (2, 0, 0, 6)
    assert {
        r["row"]: (r["errors"][0]["field"], r["errors"][0]["rule"]) for r in report["rows"]
    } == EXPECTED
    assert counts(again) == (0, 0, 2, 6)
    assert len(await published(client.database)) == 2
    rows = (
        await client.get(
            f"{BASE}/imports/{report['id']}/rows",
            params={"outcome": "accepted"},
            headers=administrator,
        )
    ).json()
    assert [r["row"] for r in rows["items"]] == [2, 8]


async def test_changed_row_is_changed(client: ServiceClient, administrator: Headers) -> None:
    _ = await send(client, administrator, a_csv([row("旧名", "L-1"), row("不变", "L-2")]))

    report = (
        await send(client, administrator, a_csv([row("不变", "L-2"), row("新名", "L-1")]))
    ).json()

    assert counts(report) == (0, 1, 1, 0)
    assert await found(client, q="新名") == ["新名"]


def a_workbook(table: Sequence[Sequence[Any]]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for line, cells in enumerate(table):
            for column, cell in enumerate(cells):
                _ = (
                    sheet.write_string(line, column, cell)
                    if isinstance(cell, str)
                    else sheet.write_number(line, column, cell)
                )
    return out.getvalue()


def a_bomb() -> bytes:
    """100 MB of zeros in 100 KB."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/workbook.xml", "w") as member,
    ):
        for _ in range(100):
            _ = member.write(b"0" * 1024 * 1024)
    return out.getvalue()


def a_far_cell() -> bytes:
    """5 KB that claim 17 thousand million cells."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        _ = sheet.write_string(0, 0, "department")
        _ = sheet.write_string(1_048_575, 16_383, "x")
    return out.getvalue()


def a_repeated_text() -> bytes:
    """One text of 30,000 characters, stored once, in 100,000 cells."""
    return a_workbook([["x" * 30_000] * 100] * 1000)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b"\x00\x01", "format"),
        (b"PK\x03\x04 broken", "xlsx"),
        (b"\xff\xff\xff", "encoding"),
        (b'"open quote', "csv"),
        (("x," * 300).encode() + b"\n", "max_cells"),
        ("事项名称,事项名称\n".encode(), "unique"),
    ],
)
async def test_hostile_or_broken_files_are_refused_whole(
    client: ServiceClient, administrator: Headers, content: bytes, rule: str
) -> None:
    answer = await send(client, administrator, content)

    assert answer.status_code == 400
    assert rule in {error["rule"] for error in answer.json()["errors"]}
    assert await published(client.database) == []


async def test_zip_bomb_is_refused(client: ServiceClient, administrator: Headers) -> None:
    answer = await send(client, administrator, a_bomb())

    assert answer.json()["errors"][0]["rule"] == "zip_bomb"


@pytest.mark.parametrize("make", [a_bomb, a_far_cell, a_repeated_text])
async def test_a_workbook_made_to_eat_memory_is_refused_and_costs_none(
    client: ServiceClient, administrator: Headers, make: Callable[[], bytes]
) -> None:
    content = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    answer = await send(client, administrator, content)

    assert answer.status_code == 400, answer.text
    assert {error["rule"] for error in answer.json()["errors"]} <= {"zip_bomb", "xlsx"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    assert await published(client.database) == []


async def test_whole_documents_are_published_and_faulty_lines_named(
    client: ServiceClient, administrator: Headers
) -> None:
    cycle = a_document(local_code="L-9", code=None, catalog_code=None).model_dump(mode="json")
    cycle["questions"][1]["options"][0]["next"] = "Q1"
    lines = [orjson.dumps(a_document().model_dump(mode="json")), b"{", orjson.dumps(cycle)]

    answer = await client.post(
        f"{BASE}/catalogue-documents", content=b"\n".join(lines), headers=administrator
    )
    report = answer.json()

    assert counts(report) == (1, 0, 0, 2)
    assert {(error["row"], error["rule"]) for error in report["errors"]} == {
        (2, "json_invalid"),
        (3, "question_tree"),
    }


async def test_lines_with_a_doubled_code_or_an_unknown_area_are_refused_and_the_others_stay(
    client: ServiceClient, administrator: Headers
) -> None:
    elsewhere = a_document(code=None, catalog_code=None, local_code="L-1", area_code="540999000000")
    lines = [
        orjson.dumps(d.model_dump(mode="json"))
        for d in (a_document(), a_document(aliases=["别名"]), elsewhere)
    ]

    answer = await client.post(
        f"{BASE}/catalogue-documents", content=b"\n".join(lines), headers=administrator
    )
    report = answer.json()

    assert counts(report) == (1, 0, 0, 2)
    assert [(e["row"], e["field"], e["rule"]) for e in report["errors"]] == [
        (2, "code", "unique"),
        (3, "area_code", "known_area"),
    ]
    assert len(await published(client.database)) == 1


@pytest.mark.parametrize(
    ("act", "rule"), [("cancellation", "not_cancelled"), ("suspension", "not_suspended")]
)
async def test_a_closed_matter_is_refused_by_row_and_never_holds_back_the_others(
    client: ServiceClient, keeper: Keeper, administrator: Headers, act: str, rule: str
) -> None:
    head = await keeper.publish(a_document())
    _ = await keeper.act(
        f"catalogue/{head['id']}/{act}", head["revision"], {"reason": "law changed"}
    )
    line = orjson.dumps(a_document().model_dump(mode="json"))

    lines = await client.post(f"{BASE}/catalogue-documents", content=line, headers=administrator)
    file = await send(client, administrator, a_csv([row("已取消", CODE), row("新的", "L-1")]))

    assert (counts(lines.json()), lines.json()["errors"][0]["rule"]) == ((0, 0, 0, 1), rule)
    assert counts(file.json()) == (1, 0, 0, 1)
    assert [(r["row"], r["errors"][0]["rule"]) for r in file.json()["rows"]] == [(2, rule)]


@pytest.mark.parametrize("is_published", [False, True])
async def test_draft_that_somebody_writes_is_never_overwritten_by_an_import(
    client: ServiceClient, keeper: Keeper, administrator: Headers, is_published: bool
) -> None:
    if is_published:
        head = await keeper.publish(a_document())
        draft = (
            await keeper.change(head["id"], head["revision"], a_document(aliases=["新别名"]))
        ).json()
    else:
        draft = (await keeper.draft(a_document(aliases=["新别名"]))).json()
    line = orjson.dumps(a_document(aliases=["旧别名"]).model_dump(mode="json"))
    before = len(await published(client.database))

    lines = await client.post(f"{BASE}/catalogue-documents", content=line, headers=administrator)
    file = await send(client, administrator, a_csv([row("在改", CODE), row("新的", "L-1")]))
    reviewed = await keeper.act(f"drafts/{draft['id']}/review", draft["revision"])

    assert (counts(lines.json()), lines.json()["errors"][0]["rule"]) == (
        (0, 0, 0, 1),
        "not_drafted",
    )
    assert counts(file.json()) == (1, 0, 0, 1)
    assert [(r["row"], r["errors"][0]["rule"]) for r in file.json()["rows"]] == [(2, "not_drafted")]
    assert reviewed.status_code == 200
    assert len(await published(client.database)) == before + 1


async def test_document_of_an_unknown_department_is_refused(
    client: ServiceClient, administrator: Headers
) -> None:
    stranger = a_document(code=None, catalog_code=None, local_code="L-1", department_code="D-404")
    lines = [orjson.dumps(d.model_dump(mode="json")) for d in (a_document(), stranger)]

    answer = await client.post(
        f"{BASE}/catalogue-documents", content=b"\n".join(lines), headers=administrator
    )
    report = answer.json()

    assert counts(report) == (1, 0, 0, 1)
    assert [(e["row"], e["field"], e["rule"]) for e in report["errors"]] == [
        (2, "department_code", "known_department")
    ]


ITEMS = [*HEADING, "业务办理项", "业务办理项编码"]


def item(
    word: str, code: str = "", item_code: str = CODE, name: str = "食品经营许可"
) -> dict[str, str]:
    return {**row(name, item_code), "业务办理项": word, "业务办理项编码": code}


async def document_of(client: ServiceClient, q: str) -> dict[str, Any]:
    (found,) = (await client.get(f"{BASE}/catalogue", params={"q": q})).json()["items"]
    return (await client.get(f"{BASE}/catalogue/{found['id']}")).json()["document"]


async def test_rows_of_one_code_with_different_handling_items_are_one_matter(
    client: ServiceClient, administrator: Headers
) -> None:
    content = a_csv(
        [
            item("首次申请", CODE + "03"),
            item("", item_code="L-1", name="无办理项"),
            item("变更"),
            item("延续", CODE + "01"),
        ],
        ITEMS,
    )

    report = (await send(client, administrator, content)).json()
    again = (await send(client, administrator, content)).json()

    assert (counts(report), counts(again)) == ((4, 0, 0, 0), (0, 0, 4, 0))
    assert len(await published(client.database)) == 2
    items = (await document_of(client, "食品经营许可"))["handling_items"]
    assert [(one["sequence"], one["code"], one["name"]["zh"]) for one in items] == [
        ("03", CODE + "03", "首次申请"),
        ("02", None, "变更"),
        ("01", CODE + "01", "延续"),
    ]


async def test_items_of_a_local_matter_keep_their_local_codes(
    client: ServiceClient, administrator: Headers
) -> None:
    content = a_csv([item("新办", "L-1-A", "L-1"), item("注销", "L-1-B", "L-1")], ITEMS)

    report = (await send(client, administrator, content)).json()

    assert counts(report) == (2, 0, 0, 0)
    items = (await document_of(client, "L-1"))["handling_items"]
    assert [(one["sequence"], one["code"], one["local_code"]) for one in items] == [
        ("01", None, "L-1-A"),
        ("02", None, "L-1-B"),
    ]


async def test_changed_handling_item_changes_every_row_of_its_matter(
    client: ServiceClient, administrator: Headers
) -> None:
    _ = await send(
        client,
        administrator,
        a_csv([item("新办"), item("变更"), item("甲", item_code="L-1")], ITEMS),
    )

    report = (
        await send(
            client,
            administrator,
            a_csv([item("新办"), item("延续"), item("甲", item_code="L-1")], ITEMS),
        )
    ).json()

    assert counts(report) == (0, 2, 1, 0)


async def test_true_duplicates_and_faulty_items_are_refused_row_by_row(
    client: ServiceClient, administrator: Headers
) -> None:
    other = CODE[:19] + "000117052000"
    content = a_csv(
        [
            item("首次申请", other + "01"),  # 2: another matter's item
            item("首次申请", CODE + "01"),  # 3: good
            item("首次申请", CODE + "02"),  # 4: the name stands twice
            item("变更", CODE + "01"),  # 5: the code stands twice
            item("延续", CODE + "00"),  # 6: no such sequence
            item("注销", name="另一名称"),  # 7: another matter under the same code
            item(""),  # 8: no item at all
            item("补证", CODE + "04"),  # 9: good
            item("", item_code="L-1"),  # 10: good
            item("新办", item_code="L-1"),  # 11: the code stands there without items
        ],
        ITEMS,
    )

    report = (await send(client, administrator, content)).json()

    assert counts(report) == (3, 0, 0, 7)
    assert {
        r["row"]: (r["errors"][0]["field"], r["errors"][0]["rule"]) for r in report["rows"]
    } == {
        2: ("handling_item_code", "structure"),
        4: ("handling_item", "unique"),
        5: ("handling_item_code", "unique"),
        6: ("handling_item_code", "structure"),
        7: ("name", "same_matter"),
        8: ("item_code", "unique"),
        11: ("item_code", "unique"),
    }
    items = (await document_of(client, CODE))["handling_items"]
    assert [one["name"]["zh"] for one in items] == ["首次申请", "补证"]


async def test_one_code_in_another_spelling_is_the_same_matter(
    client: ServiceClient, administrator: Headers
) -> None:
    content = a_csv(
        [
            row("食品经营许可", CODE),
            row("食品经营许可", CODE.lower()),
            row("乙", "L-1", area_code=CITY[:6]),
        ]
    )

    report = (await send(client, administrator, content)).json()

    assert counts(report) == (2, 0, 0, 1)
    assert [(r["row"], r["errors"][0]["rule"]) for r in report["rows"]] == [(3, "unique")]


async def test_more_than_99_items_are_too_many(
    client: ServiceClient, administrator: Headers
) -> None:
    report = (
        await send(client, administrator, a_csv([item(f"办理项{n}") for n in range(101)], ITEMS))
    ).json()

    assert counts(report) == (99, 0, 0, 2)
    assert {r["errors"][0]["rule"] for r in report["rows"]} == {"max_items"}


async def test_every_row_of_a_closed_matter_is_refused(
    client: ServiceClient, keeper: Keeper, administrator: Headers
) -> None:
    head = await keeper.publish(a_document())
    _ = await keeper.act(
        f"catalogue/{head['id']}/cancellation", head["revision"], {"reason": "law changed"}
    )

    report = (await send(client, administrator, a_csv([item("新办"), item("变更")], ITEMS))).json()

    assert counts(report) == (0, 0, 0, 2)
    assert {r["errors"][0]["rule"] for r in report["rows"]} == {"not_cancelled"}


@pytest.mark.skipif(not REAL.exists(), reason="the real catalogue is not beside the project")
async def test_real_catalogue_is_imported_whole(
    client: ServiceClient, administrator: Headers
) -> None:
    area = {"areas": [{"code": "511602000000", "name": {"zh": "广安区"}}]}
    _ = await client.put(f"{BASE}/directory", json=area, headers=administrator)
    rows = list(csv.DictReader(REAL.read_text(encoding="utf-8-sig").splitlines()))

    report = (await send(client, administrator, REAL.read_bytes())).json()
    again = (await send(client, administrator, REAL.read_bytes())).json()

    assert counts(report) == (1135, 0, 0, 0), report["rows"][:3]
    assert counts(again) == (0, 0, 1135, 0)
    events = await published(client.database)
    kept = {
        (
            e.data["local_code"] or e.data["code"],
            e.data["document"]["name"]["zh"],
            e.data["department_code"],
        )
        for e in events
    }
    assert kept == {(r["item_code"], r["name"], r["department_code"]) for r in rows}

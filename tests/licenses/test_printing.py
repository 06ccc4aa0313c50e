"""The sealed page: a PDF of one page with shaped Tibetan stacks.

No character is ever printed as a box.
"""

import struct
import zlib
from typing import Any

import pytest
import typst

from services.licenses import printing
from services.licenses.model.record import LicenseRecord
from services.licenses.model.types import Bilingual
from services.licenses.printing import FONTS, Page, breakable, covered, render
from shared.errors import UnprocessableError
from tests.builders.matters import DEPARTMENT
from tests.licenses.conftest import FIELDS, TYPE, WHY, Office, a_type
from tests.security.world import NEXT_DOOR

PRINT = {"reason": "窗口补打纸质证照"}
IDENTIFIER = f"1.2.156.3005.2.{TYPE}.{DEPARTMENT}.20261127ABCDEFGH2345.001.K"


def a_page(**changes: Any) -> Page:
    record = {
        "identifier": IDENTIFIER,
        "number": "20261127ABCDEFGH2345",
        "version": 1,
        "type": {"code": TYPE, "version": 1, "name": a_type()["name"]},
        "issuer": {"name": "拉萨市市场监督管理局", "code": DEPARTMENT},
        "holder": {
            "kind": "organisation",
            "name": "拉萨市城关区八廓甜茶馆",
            "number": "91540100MA6T1CCC1A",
        },
        "fields": FIELDS,
        "issued_on": "2026-11-27",
        "valid_from": "2026-11-27",
        "valid_until": "2031-11-26",
        **changes.pop("record", {}),
    }
    values: dict[str, Any] = {
        "record": LicenseRecord.model_validate(record),
        "labels": {
            field["name"]: Bilingual.model_validate(field["label"]) for field in a_type()["fields"]
        },
        "template": "certificate",
        "digest": "ab" * 32,
        "check_url": "https://zw.example.cn/check/" + "A" * 40,
        "check_code": "7K3M9PXQ",
    }
    return Page(**{**values, **changes})


def dark_pixels(png: bytes) -> int:
    """How many bytes of the picture are not white: a page with nothing on it has none."""
    width, height = struct.unpack(">II", png[16:24])
    data, place = b"", 8
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + size]
        place += size + 12
    raw = zlib.decompress(data)
    assert len(raw) == height * (width * 4 + 1)
    return len(raw) - raw.count(0) - raw.count(255)


@pytest.mark.parametrize("template", ["certificate", "permit"])
def test_page_is_a_pdf_of_one_page_and_not_empty(template: str) -> None:
    pdf, png = render(a_page(template=template)), render(a_page(template=template), "png")

    assert pdf.startswith(b"%PDF-1.7")
    assert (
        pdf.count(b"/Type /Page\n") + pdf.count(b"/Type/Page\n") + pdf.count(b"/Type /Page ") <= 1
    )
    assert len(pdf) < 120_000
    assert png.startswith(b"\x89PNG")
    assert dark_pixels(png) > 20_000


def _words(text: str, family: str) -> bytes:
    """A line of text drawn alone in one of our fonts."""
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)]
    )
    source = (
        f'#set page(width: 60mm, height: 20mm)\n#text(font: "{family}", fallback: false)[{text}]'
    )
    drawn = typst.Compiler(source.encode(), font_paths=fonts).compile(format="svg")
    assert isinstance(drawn, bytes)
    return drawn


def test_tibetan_stacks_are_shaped_and_no_box_stands_for_them() -> None:
    stack = _words("སྒྲུབ", "Noto Serif Tibetan")
    apart = _words("ས ྒ ྲ ུ བ", "Noto Serif Tibetan")
    missing = _words("སྒྲུབ", "Noto Serif CJK SC")

    # The five signs of the stack are fewer glyphs when shaped; a font without them draws its box
    # for each.
    assert stack.count(b"<use ") < apart.count(b"<use ")
    assert stack.count(b"<use ") == 2
    assert stack.count(b"<symbol") > missing.count(b"<symbol")


def test_families_of_the_fonts_are_those_the_template_names() -> None:
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)]
    )

    assert set(fonts.families()) == {"Noto Serif CJK SC", "Noto Serif Tibetan"}


def test_all_of_gb_2312_and_tibetan_is_covered() -> None:
    pairs = [bytes([row, cell]) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)]
    hanzi = {pair.decode("gb2312", errors="ignore") for pair in pairs} - {""}
    tibetan = {chr(n) for n in range(0x0F40, 0x0F6D) if n != 0x0F48}

    assert len(hanzi) == 6763
    assert hanzi | tibetan | set("喆堃䶮") <= covered()


def test_character_that_no_font_has_is_refused_by_its_code_point() -> None:
    holder = {"kind": "person", "name": "张\U00020bb7", "number": "540102199001010011"}

    with pytest.raises(UnprocessableError, match=r"U\+20BB7"):
        _ = render(a_page(record={"holder": holder}))


def test_long_identifiers_may_break() -> None:
    assert breakable(IDENTIFIER).replace(printing.BREAK, "") == IDENTIFIER
    assert max(map(len, breakable(IDENTIFIER).split(printing.BREAK))) <= 8
    assert breakable("拉萨市城关区 short") == "拉萨市城关区 short"


def test_same_licence_is_the_same_page() -> None:
    assert render(a_page(), "png") == render(a_page(), "png")


async def test_holder_gets_her_page_and_nobody_else(office: Office) -> None:
    _, holder = await office.verify()
    licence = await office.issued()
    path = f"/api/v1/licenses/licenses/{licence['id']}/pdf"
    callers = [
        holder,
        office.staff("window_clerk"),
        office.token(),
        office.staff("leader", department=NEXT_DOOR),
        {},
    ]

    answers = [await office.client.get(path, headers=caller) for caller in callers]

    assert [answer.status_code for answer in answers] == [200, 403, 404, 404, 401]
    assert answers[0].headers["content-type"] == "application/pdf"
    assert answers[0].content.startswith(b"%PDF-")
    assert [fault["field"] for fault in answers[1].json()["errors"]] == ["reason"]


async def test_department_prints_with_a_reason_that_is_kept(office: Office) -> None:
    _, holder = await office.verify()
    licence = await office.issued()
    path = f"/api/v1/licenses/licenses/{licence['id']}/prints"
    clerk = office.staff("window_clerk")
    callers = [
        clerk,
        holder,
        office.staff("leader", department=NEXT_DOOR),
        office.staff("supervisor"),
        {},
    ]

    without = [
        await office.client.post(path, json=body, headers=clerk) for body in ({}, {"reason": "   "})
    ]
    answers = [await office.client.post(path, json=PRINT, headers=caller) for caller in callers]

    assert [(answer.status_code, answer.json()["errors"][0]["field"]) for answer in without] == [
        (400, "reason")
    ] * 2
    assert [answer.status_code for answer in answers] == [200, 403, 404, 403, 401]
    assert answers[0].content.startswith(b"%PDF-")
    trail = await office.fetch("SELECT object_id, reason FROM audit WHERE action = 'license.print'")
    assert [tuple(row) for row in trail] == [(licence["id"], PRINT["reason"])]


async def test_page_of_a_rare_name_is_refused_clearly_and_its_record_stands(office: Office) -> None:
    licence = await office.issued(
        holder={"kind": "person", "name": "张\U00020bb7", "id_number": "540102199001010011"}
    )
    path = f"/api/v1/licenses/licenses/{licence['id']}/prints"

    answer = await office.client.post(path, json=PRINT, headers=office.officer)

    assert (answer.status_code, "U+20BB7" in answer.json()["detail"]) == (422, True)


async def test_suspended_licence_says_so_on_its_page(office: Office) -> None:
    licence = await office.issued()
    path = f"/api/v1/licenses/licenses/{licence['id']}/prints"
    before = (await office.client.post(path, json=PRINT, headers=office.officer)).content
    _ = await office.do(licence, "suspension", WHY)

    after = (await office.client.post(path, json=PRINT, headers=office.officer)).content

    assert len(after) != len(before)

"""A license as a sealed A4 page in PDF, Chinese and Tibetan, with a QR code for checking it.

Only the fonts beside this file are used, so that a license looks the same wherever it is printed.
A character that they lack is refused by its code point, so that no name is printed with a box. The
compiler is kept between pages and makes one page at a time.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal, TypedDict, cast

import orjson
import segno
import typst

from services.licenses.model.record import LicenseRecord
from services.licenses.model.types import Bilingual
from shared.errors import UnprocessableError

HERE = Path(__file__).parent
FONTS = HERE / "fonts"
TEMPLATE = HERE / "templates/licence.typ"
BREAK = "\u200b"
"""Zero-width space: typst breaks identifiers nowhere else."""
LONG_WORD = 24
BREAK_EVERY = 8
MOST_NAMED = 10
"""Missing characters that an error names."""
NUMBER = Bilingual(zh="证照编号", bo="ལག་ཁྱེར་ཨང་གྲངས།")
HOLDER = Bilingual(zh="持证主体", bo="ལག་ཁྱེར་འཛིན་མཁན།")
HOLDER_NUMBER = Bilingual(zh="证件号码", bo="ཐོབ་ཐང་ལག་ཁྱེར་ཨང་གྲངས།")
ISSUER = Bilingual(zh="颁发机构", bo="སྤྲོད་མཁན་ལས་ཁུངས།")
ISSUED_ON = Bilingual(zh="颁发日期", bo="སྤྲོད་པའི་ཚེས་གྲངས།")
VALIDITY = Bilingual(zh="有效期", bo="ནུས་ལྡན་དུས་ཡུན།")
WITHOUT_END = "长期"

_lock = Lock()


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed: the record, labels by field name, and what is needed to check it.

    `note` is printed in a frame: that the license is no evidence (any more).
    """

    record: LicenseRecord
    labels: Mapping[str, Bilingual]
    template: str
    digest: str
    check_url: str
    check_code: str
    note: str = ""


class PageRow(TypedDict):
    label: dict[str, str]
    value: str


class PageData(TypedDict):
    """What the template reads."""

    title: dict[str, str]
    template: str
    rows: list[PageRow]
    issuer: str
    issued_on: str
    identifier: str
    digest: str
    code: str
    note: str


@cache
def covered() -> frozenset[str]:
    """The characters that the fonts have."""
    characters: set[str] = set()
    for entry in (FONTS / "coverage.txt").read_text(encoding="ascii").split():
        first, _, last = entry.partition("-")
        for number in range(int(first, 16), int(last or first, 16) + 1):
            characters.add(chr(number))
    return frozenset(characters)


@cache
def _compiler() -> typst.Compiler:
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)]
    )
    return typst.Compiler(TEMPLATE, root=TEMPLATE.parent, font_paths=fonts)


def breakable(text: str) -> str:
    """Long words of letters and digits may break after every eighth character and every dot."""
    words: list[str] = []
    for word in text.split(" "):
        if len(word) > LONG_WORD and word.isascii():
            words.append(BREAK.join(_pieces(word)))
        else:
            words.append(word)
    return " ".join(words)


def _pieces(word: str) -> Iterator[str]:
    piece = ""
    for character in word:
        piece += character
        if len(piece) == BREAK_EVERY or character == ".":
            yield piece
            piece = ""
    if piece:
        yield piece


def _row(label: Bilingual, value: str) -> PageRow:
    return {"label": label.model_dump(exclude_none=True), "value": breakable(value)}


def _rows(page: Page) -> list[PageRow]:
    record = page.record
    rows = [
        _row(NUMBER, record.number),
        _row(HOLDER, record.holder.name),
        _row(HOLDER_NUMBER, record.holder.number),
    ]
    for name, value in record.fields.items():
        label = page.labels.get(name) or Bilingual(zh=name)
        rows.append(_row(label, value))
    rows += [
        _row(ISSUER, record.issuer.name),
        _row(ISSUED_ON, record.issued_on),
        _row(VALIDITY, f"{record.valid_from} 至 {record.valid_until or WITHOUT_END}"),
    ]
    return rows


def _qr(content: str) -> str:
    out = io.BytesIO()
    # A fixed mask: trying all eight costs more than the rest of the page, and readers take each.
    code = segno.make(content, error="m", mask=4, boost_error=False, micro=False)
    code.save(out, kind="svg", border=2, xmldecl=False, svgns=True)
    return out.getvalue().decode()


def render(page: Page, kind: Literal["pdf", "png"] = "pdf") -> bytes:
    """The page; takes about 10 ms of CPU.

    Raises:
        UnprocessableError: names the characters that no font has.
    """
    record = page.record
    data: PageData = {
        "title": record.type.name,
        "template": page.template,
        "rows": _rows(page),
        "issuer": record.issuer.name,
        "issued_on": record.issued_on,
        "identifier": breakable(record.identifier),
        "digest": breakable(page.digest),
        "code": page.check_code,
        "note": page.note,
    }
    _refuse_unknown(data)
    content = orjson.dumps({**data, "qr": _qr(page.check_url)}).decode()
    with _lock:
        # Without tags a page costs half; screen readers get the same data from the JSON answer.
        made = _compiler().compile(format=kind, sys_inputs={"data": content}, pdf_tags=False)
    assert isinstance(made, bytes)
    return made


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _texts(one)


def _refuse_unknown(data: PageData) -> None:
    characters: set[str] = set()
    for text in _texts(data):
        characters.update(text)
    unknown = sorted(characters - covered() - {BREAK, "\n"})
    if unknown:
        named = ", ".join(f"U+{ord(character):04X}" for character in unknown[:MOST_NAMED])
        raise UnprocessableError(
            "the fonts of this system lack characters of this licence: {characters}",
            characters=named,
        )

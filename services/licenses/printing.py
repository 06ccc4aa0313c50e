"""A licence as a sealed A4 page in PDF, Chinese and Tibetan, with a QR that leads to its check.

Only the fonts beside this file are used, so that a licence looks the same wherever it is printed. A character that they lack
is refused by its code point: no box is ever printed in a name. The compiler is kept; it serves one page at a time.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import orjson
import segno
import typst

from shared.errors import UnprocessableError

HERE = Path(__file__).parent
FONTS = HERE / "fonts"
TEMPLATE = HERE / "templates/licence.typ"
BREAK = "\u200b"
"""Where a long word may break: typst breaks identifiers nowhere else."""
LABELS = {
    "number": ("证照编号", "ལག་ཁྱེར་ཨང་གྲངས།"),
    "holder": ("持证主体", "ལག་ཁྱེར་འཛིན་མཁན།"),
    "holder_number": ("证件号码", "ཐོབ་ཐང་ལག་ཁྱེར་ཨང་གྲངས།"),
    "issuer": ("颁发机构", "སྤྲོད་མཁན་ལས་ཁུངས།"),
    "issued_on": ("颁发日期", "སྤྲོད་པའི་ཚེས་གྲངས།"),
    "valid": ("有效期", "ནུས་ལྡན་དུས་ཡུན།"),
}
FOR_GOOD = "长期"

_lock = Lock()


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed: the record, its labels, and what leads to its check."""

    record: Mapping[str, Any]
    labels: Mapping[str, Mapping[str, str]]
    """Field name → its label."""
    template: str
    digest: str
    check_url: str
    check_code: str
    note: str = ""
    """Printed in a frame: that it does not hold (any more)."""


@cache
def covered() -> frozenset[str]:
    """The characters that the fonts have."""
    ranges = (FONTS / "coverage.txt").read_text(encoding="ascii").split()
    pairs = (entry.partition("-") for entry in ranges)
    return frozenset(chr(n) for a, _, b in pairs for n in range(int(a, 16), int(b or a, 16) + 1))


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
        parts = [
            part[i : i + 8]
            for part in word.replace(".", ".\0").split("\0")
            for i in range(0, len(part), 8)
        ]
        words.append(BREAK.join(parts) if len(word) > 24 and word.isascii() else word)
    return " ".join(words)


def _rows(page: Page) -> Iterator[tuple[Mapping[str, str], str]]:
    record, fixed = page.record, {name: {"zh": zh, "bo": bo} for name, (zh, bo) in LABELS.items()}
    yield fixed["number"], record["number"]
    yield fixed["holder"], record["holder"]["name"]
    yield fixed["holder_number"], record["holder"]["number"]
    for name, value in record["fields"].items():
        yield page.labels.get(name, {"zh": name}), value
    yield fixed["issuer"], record["issuer"]["name"]
    yield fixed["issued_on"], record["issued_on"]
    yield fixed["valid"], f"{record['valid_from']} 至 {record.get('valid_until') or FOR_GOOD}"


def _qr(content: str) -> str:
    out = io.BytesIO()
    # One mask of the eight: trying them all costs more than the rest of the page, and any reader takes each.
    code = segno.make(content, error="m", mask=4, boost_error=False, micro=False)
    code.save(out, kind="svg", border=2, xmldecl=False, svgns=True)
    return out.getvalue().decode()


def render(page: Page, kind: Literal["pdf", "png"] = "pdf") -> bytes:
    """The page; raises UnprocessableError naming the characters that no font here has. Takes about 10 ms of CPU."""
    record = page.record
    data: dict[str, Any] = {
        "title": record["type"]["name"],
        "template": page.template,
        "rows": [{"label": label, "value": breakable(value)} for label, value in _rows(page)],
        "issuer": record["issuer"]["name"],
        "issued_on": record["issued_on"],
        "identifier": breakable(record["identifier"]),
        "digest": breakable(page.digest),
        "code": page.check_code,
        "note": page.note,
    }
    _refuse_unknown(data)
    data["qr"] = _qr(page.check_url)
    with _lock:
        # Without tags a page costs half; the same data are read aloud from the answer in JSON.
        made = _compiler().compile(
            format=kind, sys_inputs={"data": orjson.dumps(data).decode()}, pdf_tags=False
        )
    assert isinstance(made, bytes)
    return made


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _refuse_unknown(data: Any) -> None:
    unknown = sorted({c for text in _texts(data) for c in text} - covered() - {BREAK, "\n"})
    if unknown:
        named = ", ".join(f"U+{ord(c):04X}" for c in unknown[:10])
        raise UnprocessableError(
            f"the fonts of this system lack characters of this licence: {named}"
        )

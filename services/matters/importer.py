"""Reading a catalogue file: CSV in UTF-8 or GBK, or XLSX, columns by their heading in any order. Hostile until proven."""

import csv
import io
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.matters import workbook
from shared.domain import codes
from shared.domain.guides import Bilingual, HandlingItem, MatterDocument
from shared.errors import FieldError, InvalidInputError

HEADINGS = {
    "department": ("department", "部门", "实施部门", "实施主体"),
    "main_item": ("main_item", "主项名称", "主项"),
    "name": ("name", "事项名称", "名称"),
    "item_code": ("item_code", "事项编码", "实施编码", "编码"),
    "area_code": ("area_code", "区划编码", "区划代码", "行政区划"),
    "task_type": ("task_type", "事项类型", "类型"),
    "department_code": ("department_code", "部门编码", "部门代码", "组织机构代码"),
    "handling_item": ("handling_item", "业务办理项", "业务办理项名称", "办理项", "办理项名称"),
    "handling_item_code": ("handling_item_code", "业务办理项编码", "办理项编码"),
}
REQUIRED = ("department", "name", "item_code", "area_code", "task_type", "department_code")
MATTER_COLUMNS = ("department", "main_item", "name", "task_type")
"""What must be equal in all rows of one matter."""
MAX_ROWS = 50_000
MAX_COLUMNS = 200
MAX_CELL = 2_000
MAX_UNPACKED = 96 * 1024 * 1024
READING = 60
"""Seconds for a workbook."""


@dataclass
class ImportedRow:
    """One row of the file: its number (the heading is row 1), its document when it can be one, else its faults.

    Rows that name handling items (业务办理项) of one matter are one document, which the first of them carries: `head` is the
    number of that row. `values` are the cells.
    """

    row: int
    identity: str = ""
    department: str = ""
    document: MatterDocument | None = None
    faults: list[FieldError] = field(default_factory=list[FieldError])
    head: int = 0
    values: dict[str, str] = field(default_factory=dict[str, str])


def _refuse(rule: str, message: str) -> InvalidInputError:
    return InvalidInputError("the file cannot be read", [FieldError("file", rule, message)])


def read_table(content: bytes) -> list[list[str]]:
    """The cells of a CSV or XLSX file as text; 400 for anything else, and for files made to do harm."""
    table = _read_xlsx(content) if content[:4] == b"PK\x03\x04" else _read_csv(content)
    if len(table) > MAX_ROWS + 1:
        raise _refuse("max_rows", f"at most {MAX_ROWS} rows at once")
    if any(len(row) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in row) for row in table):
        raise _refuse(
            "max_cells", f"at most {MAX_COLUMNS} columns and {MAX_CELL} characters in a cell"
        )
    return table


def _read_csv(content: bytes) -> list[list[str]]:
    if b"\x00" in content:
        raise _refuse("format", "send CSV (UTF-8 or GBK) or XLSX")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError:
            raise _refuse("encoding", "save the CSV as UTF-8 or GBK") from None
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _refuse("csv", f"the CSV is broken: {error}") from error


def _read_xlsx(content: bytes) -> list[list[str]]:
    _refuse_bomb(content)
    command = [sys.executable, workbook.__file__, str(MAX_ROWS + 2)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=READING, check=True
        )
    except subprocess.SubprocessError as error:
        raise _refuse(
            "xlsx", "the XLSX file is broken, or made to need far more memory than its cells"
        ) from error
    return orjson.loads(done.stdout)


def _refuse_bomb(content: bytes) -> None:
    """Unpack with a limit of our own: the sizes that a directory declares are the sender's word."""
    left = MAX_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    while block := member.read(1024 * 1024):
                        left -= len(block)
                        if left < 0:
                            raise _refuse("zip_bomb", f"unpacks to more than {MAX_UNPACKED} bytes")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _refuse("xlsx", "the XLSX file is broken") from error


def columns(heading: Sequence[str]) -> dict[str, int]:
    """Place of each known column; 400 naming every missing or doubled one."""
    clean = [cell.strip().lower() for cell in heading]
    found: dict[str, int] = {}
    faults: list[FieldError] = []
    for name, words in HEADINGS.items():
        places = [place for place, cell in enumerate(clean) if cell in words]
        if len(places) > 1:
            faults.append(FieldError(name, "unique", "the column stands twice", 1))
        elif places:
            found[name] = places[0]
        elif name in REQUIRED:
            faults.append(
                FieldError(name, "required", f"no column is headed {' or '.join(words)}", 1)
            )
    if faults:
        raise InvalidInputError("the heading does not fit", faults)
    return found


def read_rows(content: bytes, known_areas: frozenset[str]) -> Sequence[ImportedRow]:
    """The rows of a catalogue file, each with its document, or its place in another's, or all of its faults."""
    table = read_table(content)
    if not table:
        raise _refuse("empty", "the file has no heading")
    places = columns(table[0])
    rows: list[ImportedRow] = []
    matters: dict[tuple[str, ...], list[ImportedRow]] = {}
    for number, cells in enumerate(table[1:], start=2):
        if any(cell.strip() for cell in cells):
            values = {
                name: cells[at].strip() if at < len(cells) else "" for name, at in places.items()
            }
            rows.append(row := read_row(number, values, known_areas))
            if row.identity:
                matters.setdefault(_matter_of(values), []).append(row)
    for same in matters.values():
        _gather(same)
    return rows


def _matter_of(values: dict[str, str]) -> tuple[str, ...]:
    """What makes rows those of one matter: area (short or long), department, and code (national ones in any case)."""
    code = values["item_code"]
    same = code.upper() if codes.claims_to_be_national(code) else code
    return values["area_code"].ljust(12, "0"), values["department_code"], same


def _gather(rows: Sequence[ImportedRow]) -> None:
    """Rows of one code: different handling items of one matter, or else the code stands there twice."""
    first = rows[0]
    seen: dict[tuple[str, str], int] = {}
    good: list[ImportedRow] = []
    for row in rows:
        for words in _item_conflicts(row, first, seen):
            row.faults.append(FieldError(words[0], words[1], words[2], row.row))
        if row.faults:
            row.document = None
        else:
            good.append(row)
    if good and _names_item(good[0].values):
        _unite(good)


def _names_item(values: dict[str, str]) -> bool:
    return bool(values.get("handling_item") or values.get("handling_item_code"))


def _item_conflicts(
    row: ImportedRow, first: ImportedRow, seen: dict[tuple[str, str], int]
) -> Iterator[tuple[str, str, str]]:
    """Why a row cannot stand beside the others of its code: field, rule, words."""
    if row is not first and not (_names_item(row.values) and _names_item(first.values)):
        yield "item_code", "unique", f"stands in row {first.row} already"
        return
    for name in ("handling_item", "handling_item_code"):
        value = row.values.get(name, "").upper()
        if (
            value
            and not row.faults
            and (earlier := seen.setdefault((name, value), row.row)) != row.row
        ):
            yield name, "unique", f"stands in row {earlier} already"
    for name in MATTER_COLUMNS:
        if row.values.get(name, "") != first.values.get(name, ""):
            yield name, "same_matter", f"differs from row {first.row}, which has the same item code"


def _unite(rows: Sequence[ImportedRow]) -> None:
    """One document of all these rows, carried by the first."""
    head = rows[0]
    assert head.document is not None
    taken = {_own_sequence(row.values) for row in rows} - {None}
    free = (f"{number:02d}" for number in range(1, 100) if f"{number:02d}" not in taken)
    items: list[HandlingItem] = []
    for row in rows:
        sequence = _own_sequence(row.values) or next(free, None)
        if sequence is None:
            row.document = None
            row.faults.append(
                FieldError("handling_item", "max_items", "a matter has at most 99 items", row.row)
            )
            continue
        row.head = head.row
        items.append(_item(row.values, sequence, national=head.document.code is not None))
    for row in rows[1:]:
        row.document = None
    head.document = head.document.model_copy(update={"handling_items": tuple(items)})


def _own_sequence(values: dict[str, str]) -> str | None:
    """The sequence inside a national code of the item."""
    code = values.get("handling_item_code", "")
    return code[-2:] if codes.claims_to_be_national(values["item_code"]) and code else None


def _item(values: dict[str, str], sequence: str, *, national: bool) -> HandlingItem:
    code = values.get("handling_item_code", "")
    return HandlingItem(
        sequence=sequence,
        code=code.upper() if national and code else None,
        local_code=None if national else code or None,
        name=Bilingual(zh=values.get("handling_item") or values["name"]),
    )


def read_row(number: int, values: dict[str, str], known_areas: frozenset[str]) -> ImportedRow:
    """One row judged: a code that claims to be national is checked, any other is kept as the local code."""
    row = ImportedRow(number, values["item_code"], values["department"], head=number, values=values)
    for name in REQUIRED:
        if not values[name]:
            row.faults.append(FieldError(name, "required", "must not be empty", number))
    national = bool(values["item_code"]) and codes.claims_to_be_national(values["item_code"])
    if national:
        _ = _judge(row, "item_code", lambda: codes.check_implementing_code(values["item_code"]))
        _check_item_code(row, values)
    area = values["area_code"]
    if area:
        area = _judge(row, "area_code", lambda: codes.check_area(values["area_code"])) or ""
        if area and area not in known_areas:
            row.faults.append(
                FieldError("area_code", "known_area", f"area {area} is not known here", number)
            )
    kind = values["task_type"].zfill(2)
    if values["task_type"] and kind not in set(codes.MatterType):
        row.faults.append(
            FieldError("task_type", "matter_type", "is no matter type (01 to 10, 20)", number)
        )
    if not row.faults:
        _build(row, values, kind, area, national=national)
    return row


def _check_item_code(row: ImportedRow, values: dict[str, str]) -> None:
    """The code of a handling item of a matter with a national code is a national one too."""
    code = values.get("handling_item_code", "")
    checked = (
        _judge(row, "handling_item_code", lambda: codes.check_handling_item_code(code))
        if code
        else None
    )
    if checked and checked[:31] != values["item_code"].upper():
        words = "does not begin with the implementing code of the matter"
        row.faults.append(FieldError("handling_item_code", "structure", words, row.row))


def _judge(row: ImportedRow, name: str, check: Any) -> str | None:
    try:
        return check()
    except ValueError as error:
        row.faults.append(FieldError(name, "structure", str(error), row.row))
        return None


def _build(
    row: ImportedRow, values: dict[str, str], kind: str, area: str, *, national: bool
) -> None:
    code = values["item_code"].upper() if national else None
    try:
        row.document = MatterDocument.model_validate(
            {
                "code": code,
                "local_code": None if national else values["item_code"],
                "catalog_code": code[19:] if code else None,
                "name": {"zh": values["name"]},
                "main_item": None
                if values.get("main_item") in {None, "", "未分类"}
                else values["main_item"],
                "type": kind,
                "area_code": area,
                "department_code": values["department_code"],
            }
        )
    except ValueError as error:
        faults: list[Any] = error.errors() if hasattr(error, "errors") else []  # pyright: ignore[reportAttributeAccessIssue]
        row.faults += [
            FieldError(str(f["loc"][0]), str(f["type"]), str(f["msg"]), row.row) for f in faults
        ]

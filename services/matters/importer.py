"""Reading a catalogue file: CSV in UTF-8 or GBK, or XLSX, columns by their heading in any order.

Every file is hostile until proven otherwise.
"""

import csv
import io
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from pydantic import ValidationError

from services.matters import workbook
from shared.domain import codes
from shared.domain.guides import Bilingual, HandlingItem, MatterDocument
from shared.errors import FieldError, InvalidInputError, Rule, pydantic_error
from shared.texts import Choices

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
"""Columns that must be equal in all rows of one matter."""
# All rows are in memory at once; a city publishes some thousands of matters.
MAX_ROWS = 50_000
MAX_COLUMNS = 200
MAX_CELL = 2_000
MAX_UNPACKED = 96 * 1024 * 1024
READING = 60
"""Seconds for a workbook."""
BROKEN_XLSX = Rule("xlsx", "the XLSX file is broken")
CATALOG_CODE_FROM = 19
"""An implementing code is a USCC of 18 characters, the level of the organ, and a catalogue code."""
MAX_ITEMS = 99
"""Handling items of one matter; their sequence has two digits."""
UNCLASSIFIED = "未分类"
"""Main item of a row that has none."""


@dataclass
class ImportedRow:
    """One row of the file: its number (the heading is row 1), and its document or its errors.

    Rows that name handling items (业务办理项) of one matter are one document, which the first of
    them carries: `head` is the number of that row. `values` are the cells by column.
    """

    row: int
    identity: str = ""
    department: str = ""
    document: MatterDocument | None = None
    errors: list[FieldError] = field(default_factory=list[FieldError])
    head: int = 0
    values: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, rule: Rule) -> None:
        """Note that the column `name` breaks a rule."""
        self.errors.append(FieldError.at(name, rule, row=self.row))


class RowPlace(NamedTuple):
    """Where a handling item stood first: the column and its value."""

    column: str
    value: str


def _refusal(rule: Rule) -> InvalidInputError:
    return InvalidInputError("the file cannot be read", [FieldError.at("file", rule)])


def read_table(content: bytes) -> list[list[str]]:
    """The cells of a CSV or XLSX file as text.

    Raises `InvalidInputError` for anything else, and for files made to do harm.
    """
    if content[:4] == b"PK\x03\x04":
        table = _read_xlsx(content)
    else:
        table = _read_csv(content)
    if len(table) > MAX_ROWS + 1:
        raise _refusal(Rule("max_rows", "at most {limit} rows at once", limit=MAX_ROWS))
    for row in table:
        if len(row) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in row):
            raise _refusal(
                Rule(
                    "max_cells",
                    "at most {columns} columns and {characters} characters in a cell",
                    columns=MAX_COLUMNS,
                    characters=MAX_CELL,
                )
            )
    return table


def _read_csv(content: bytes) -> list[list[str]]:
    if b"\x00" in content:
        raise _refusal(Rule("format", "send CSV (UTF-8 or GBK) or XLSX"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            # What Chinese Excel writes; GB 18030 contains GBK.
            text = content.decode("gb18030")
        except UnicodeDecodeError:
            raise _refusal(Rule("encoding", "save the CSV as UTF-8 or GBK")) from None
    first_line = text.partition("\n")[0]
    # Spreadsheets write the separator of their own language.
    delimiter = max(",;\t", key=first_line.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _refusal(Rule("csv", "the CSV is broken")) from error


def _read_xlsx(content: bytes) -> list[list[str]]:
    _refuse_bomb(content)
    # A process of its own, because a small file can ask for any memory (see `workbook`).
    command = [sys.executable, workbook.__file__, str(MAX_ROWS + 2)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=READING, check=True
        )
    except subprocess.SubprocessError as error:
        raise _refusal(
            Rule("xlsx", "the XLSX file is broken, or needs far more memory than its cells")
        ) from error
    return orjson.loads(done.stdout)


def _refuse_bomb(content: bytes) -> None:
    """Unpack with a limit of our own: the sizes that a directory declares may be false."""
    left = MAX_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    while block := member.read(1024 * 1024):
                        left -= len(block)
                        if left < 0:
                            raise _refusal(
                                Rule(
                                    "zip_bomb",
                                    "unpacks to more than {limit} bytes",
                                    limit=MAX_UNPACKED,
                                )
                            )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise _refusal(BROKEN_XLSX) from error


def find_columns(heading: Sequence[str]) -> dict[str, int]:
    """Place of each known column.

    Raises `InvalidInputError` naming every column that is missing or there twice.
    """
    cells = [cell.strip().lower() for cell in heading]
    found: dict[str, int] = {}
    errors: list[FieldError] = []
    for name, names in HEADINGS.items():
        places = [place for place, cell in enumerate(cells) if cell in names]
        if len(places) > 1:
            errors.append(FieldError(name, "unique", message="the column is there twice", row=1))
        elif places:
            found[name] = places[0]
        elif name in REQUIRED:
            errors.append(
                FieldError(
                    name,
                    "required",
                    message="no column is headed {names}",
                    row=1,
                    names=Choices(names),
                )
            )
    if errors:
        raise InvalidInputError("the heading does not fit", errors)
    return found


def read_rows(content: bytes, known_areas: frozenset[str]) -> Sequence[ImportedRow]:
    """The rows of a catalogue file.

    Each has its document, its place in another's document, or its errors.
    """
    table = read_table(content)
    if not table:
        raise _refusal(Rule("empty", "the file has no heading"))
    columns = find_columns(table[0])
    rows: list[ImportedRow] = []
    matters: dict[tuple[str, ...], list[ImportedRow]] = {}
    for number, cells in enumerate(table[1:], start=2):
        # Spreadsheets end with empty rows; they are no rows of the catalogue.
        if not any(cell.strip() for cell in cells):
            continue
        row = read_row(number, _values_of(cells, columns), known_areas=known_areas)
        rows.append(row)
        if row.identity:
            matters.setdefault(_matter_of(row.values), []).append(row)
    for same_matter in matters.values():
        _gather(same_matter)
    return rows


def _values_of(cells: Sequence[str], columns: dict[str, int]) -> dict[str, str]:
    """The cells of a row by column; a row may be shorter than the heading."""
    values: dict[str, str] = {}
    for name, place in columns.items():
        values[name] = cells[place].strip() if place < len(cells) else ""
    return values


def _matter_of(values: dict[str, str]) -> tuple[str, ...]:
    """What makes rows those of one matter: area (short or long), department, and code."""
    code = values["item_code"]
    if codes.claims_to_be_national(code):
        code = code.upper()
    # The short form of six digits and the long one name the same area.
    return values["area_code"].ljust(12, "0"), values["department_code"], code


def _gather(rows: Sequence[ImportedRow]) -> None:
    """Rows of one code: handling items of one matter, or else the code is there twice."""
    first = rows[0]
    seen: dict[RowPlace, int] = {}
    good: list[ImportedRow] = []
    for row in rows:
        for name, rule in list(_item_conflicts(row, first=first, seen=seen)):
            row.add(name, rule)
        if row.errors:
            row.document = None
        else:
            good.append(row)
    if good and _names_item(good[0].values):
        _unite(good)


def _names_item(values: dict[str, str]) -> bool:
    return bool(values.get("handling_item") or values.get("handling_item_code"))


def _item_conflicts(
    row: ImportedRow, *, first: ImportedRow, seen: dict[RowPlace, int]
) -> Iterator[tuple[str, Rule]]:
    """Why a row cannot stand beside the others of its code: column and rule."""
    if row is not first and not (_names_item(row.values) and _names_item(first.values)):
        yield "item_code", Rule("unique", "is used in row {earlier} already", earlier=first.row)
        return
    if not row.errors:
        for name in ("handling_item", "handling_item_code"):
            value = row.values.get(name, "").upper()
            if not value:
                continue
            earlier = seen.setdefault(RowPlace(name, value), row.row)
            if earlier != row.row:
                yield name, Rule("unique", "is used in row {earlier} already", earlier=earlier)
    for name in MATTER_COLUMNS:
        if row.values.get(name, "") != first.values.get(name, ""):
            yield (
                name,
                Rule(
                    "same_matter",
                    "differs from row {first}, which has the same item code",
                    first=first.row,
                ),
            )


def _unite(rows: Sequence[ImportedRow]) -> None:
    """Make one document of all these rows, carried by the first."""
    head = rows[0]
    assert head.document is not None
    free = _free_sequences(rows)
    is_national = head.document.code is not None
    items: list[HandlingItem] = []
    for row in rows:
        sequence = _own_sequence(row.values) or next(free, None)
        if sequence is None:
            row.document = None
            row.add("handling_item", Rule("max_items", "a matter has at most 99 items"))
            continue
        row.head = head.row
        items.append(_item(row.values, sequence, is_national=is_national))
    document = head.document.model_copy(update={"handling_items": tuple(items)})
    for row in rows:
        row.document = None
    head.document = document


def _free_sequences(rows: Sequence[ImportedRow]) -> Iterator[str]:
    """The sequences that no national code of these rows has taken, in order."""
    used = {_own_sequence(row.values) for row in rows}
    for number in range(1, MAX_ITEMS + 1):
        sequence = f"{number:02d}"
        if sequence not in used:
            yield sequence


def _own_sequence(values: dict[str, str]) -> str | None:
    """The sequence inside a national code of the item."""
    code = values.get("handling_item_code", "")
    if not code or not codes.claims_to_be_national(values["item_code"]):
        return None
    return code[-2:]


def _item(values: dict[str, str], sequence: str, *, is_national: bool) -> HandlingItem:
    code = values.get("handling_item_code", "")
    name = Bilingual(zh=values.get("handling_item") or values["name"])
    # A code is never made up: one that is no national code stays the local one.
    if is_national:
        return HandlingItem(sequence=sequence, code=code.upper() or None, name=name)
    return HandlingItem(sequence=sequence, local_code=code or None, name=name)


def read_row(number: int, values: dict[str, str], *, known_areas: frozenset[str]) -> ImportedRow:
    """Judge one row.

    A code that claims to be national is checked; any other becomes the local code.
    """
    row = ImportedRow(number, values["item_code"], values["department"], head=number, values=values)
    for name in REQUIRED:
        if not values[name]:
            row.add(name, Rule("required", "must not be empty"))
    is_national = bool(values["item_code"]) and codes.claims_to_be_national(values["item_code"])
    if is_national:
        _ = _checked(row, "item_code", check=codes.check_implementing_code)
        _check_item_code(row)
    area = _checked_area(row, known_areas)
    kind = values["task_type"].zfill(2)
    if values["task_type"] and kind not in set(codes.MatterType):
        row.add("task_type", Rule("matter_type", "is no matter type (01 to 10, 20)"))
    if not row.errors:
        _build(row, kind=kind, area=area, is_national=is_national)
    return row


def _checked_area(row: ImportedRow, known_areas: frozenset[str]) -> str:
    """The area code in 12 digits; empty when it is missing or wrong."""
    if not row.values["area_code"]:
        return ""
    area = _checked(row, "area_code", check=codes.check_area) or ""
    if area and area not in known_areas:
        row.add("area_code", Rule("known_area", "area {area} is not known here", area=area))
    return area


def _check_item_code(row: ImportedRow) -> None:
    """The code of a handling item of a matter with a national code is a national one too."""
    if not row.values.get("handling_item_code"):
        return
    code = _checked(row, "handling_item_code", check=codes.check_handling_item_code)
    if code is not None and code[:31] != row.values["item_code"].upper():
        row.add(
            "handling_item_code",
            Rule("structure", "does not begin with the implementing code of the matter"),
        )


def _checked(row: ImportedRow, name: str, *, check: Callable[[str], str]) -> str | None:
    """The value of a column as its check returns it; None when the check refuses it."""
    try:
        return check(row.values[name])
    except ValueError as error:
        row.errors.append(FieldError.of(name, rule="structure", error=error, row=row.row))
        return None


def _build(row: ImportedRow, *, kind: str, area: str, is_national: bool) -> None:
    """Give the row its document, or the errors that the document's own types find."""
    values = row.values
    main_item = values.get("main_item") or None
    if main_item == UNCLASSIFIED:
        main_item = None
    content: dict[str, object] = {
        "name": {"zh": values["name"]},
        "main_item": main_item,
        "type": kind,
        "area_code": area,
        "department_code": values["department_code"],
    }
    if is_national:
        code = values["item_code"].upper()
        content["code"] = code
        # The implementing code ends with the code of the basic catalogue (norms §2.1).
        content["catalog_code"] = code[CATALOG_CODE_FROM:]
    else:
        content["local_code"] = values["item_code"]
    try:
        row.document = MatterDocument.model_validate(content)
    except ValidationError as error:
        for found in error.errors():
            column = str(found["loc"][0])
            row.errors.append(pydantic_error(found, column).in_row(row.row))

"""The cells of an XLSX file from stdin, as JSON on stdout.

It is a process of its own, because a small file can ask for any amount of memory.

Its first sheet may claim a cell in the last row and column, or repeat one long text in every cell.
Whatever it is, it is this process that dies of it, within its limits, and not the one that serves
everybody.
"""

import io
import resource
import sys
from typing import Any

import orjson
from python_calamine import CalamineError, CalamineWorkbook

MEMORY = 1024 * 1024 * 1024
SECONDS = 30
MAX_ANSWER = 128 * 1024 * 1024


def cell(value: Any) -> str:
    """Whole numbers come as floats from a spreadsheet; codes must not gain `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def main(rows: int) -> int:
    """Answer at most so many rows; 1 when the file cannot be read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        content = io.BytesIO(sys.stdin.buffer.read())
        sheet = CalamineWorkbook.from_filelike(content).get_sheet_by_index(0)
        table: list[list[str]] = []
        for row in sheet.to_python(skip_empty_area=False, nrows=rows):
            table.append([cell(value) for value in row])
        answer = orjson.dumps(table)
    except (CalamineError, NotImplementedError, RuntimeError, IndexError, EOFError, MemoryError):
        return 1
    if len(answer) > MAX_ANSWER:
        return 1
    _ = sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

"""Too large, too nested or too branched a function is found.

The list of allowed ones can only shrink.
"""

from pathlib import Path

import pytest

from deploy.checks import allowed
from deploy.checks.shape import Fault, shape_faults
from deploy.source.files import SourceFile

pytestmark = pytest.mark.xdist_group("gates")

FILE = "services/cases/planted.py"
LARGE = "def count(value: int) -> int:\n" + "    value += 1\n" * 70 + "    return value\n"
BRANCHED = "def grade(value: int) -> int:\n" + "".join(
    f"    if value == {number}:\n        return {number}\n" for number in range(11)
)
PLANTS = {
    "nodes": LARGE,
    "median": "def say(value: int) -> None:\n" + "    value += 1\n" * 20,
    "complexity": BRANCHED,
}
EXPRESSIONS = {
    "x = [[b for b in a] for a in c]": "comprehension",
    "x = [a for a in [b for b in c]]": "comprehension",
    "x = {a: sum(b for b in a) for a in c}": "comprehension",
    "x = f'{1 if a else 2}'": "conditional",
    "x = f'{say(1 if a else 2)}'": "conditional",
    "say(1 if a else 2)": "conditional",
    "say(a=1 if a else 2)": "conditional",
    "say([1 if a else 2 for a in c])": "conditional",
}
CLEAN = [
    "x = [b for a in c for b in a]",
    "x = 1 if a else 2\nsay(x)",
    "x = say(a) if a else 2",
    "x = f'{a}'",
]


def rules_of(text: str) -> set[str]:
    return {fault.rule for fault in shape_faults([SourceFile(FILE, text)])}


@pytest.mark.parametrize("rule", PLANTS)
def test_function_of_a_bad_shape_is_found(rule: str) -> None:
    assert rule in rules_of(PLANTS[rule])


@pytest.mark.parametrize("line", EXPRESSIONS)
def test_nested_expression_is_found(line: str) -> None:
    assert EXPRESSIONS[line] in rules_of(line)


@pytest.mark.parametrize("text", CLEAN)
def test_plain_expression_is_no_fault(text: str) -> None:
    assert rules_of(text) == set()


def test_fault_names_file_line_and_function() -> None:
    text = (
        "class Case:\n"
        "    def accept(self, a: int) -> None:\n"
        "        say(1 if a else 2)\n\n\n"
        f"{BRANCHED}"
    )

    faults = [fault for fault in shape_faults([SourceFile(FILE, text)]) if fault.rule != "median"]
    conditional, branched = sorted(faults, key=lambda fault: fault.line)

    assert str(conditional).startswith(f"{FILE}:3: Case.accept: ")
    assert conditional.key == f"{FILE}::Case.accept conditional"
    assert branched.key == f"{FILE}::grade complexity"


def test_list_of_allowed_faults_can_only_shrink(tmp_path: Path) -> None:
    known = Fault(FILE, 1, "old", "nodes", "…")
    new = Fault(FILE, 9, "new", "nodes", "…")
    allowed.write([known], tmp_path / "allowed.txt")
    listed = allowed.read(tmp_path / "allowed.txt")

    grown = list(allowed.compare([known, new], listed))
    gone = list(allowed.compare([], listed))

    assert list(allowed.compare([known], listed)) == []
    assert len(grown) == 1
    assert grown[0].startswith(f"{FILE}:9: new")
    assert len(gone) == 1
    assert f"{FILE}::old nodes" in gone[0]

"""The figures are counted as their definitions say: each is tried on a few lines of code."""

from dataclasses import replace

import pytest

from deploy.measure.__main__ import fallen, lines_of
from deploy.measure.columns import columns
from deploy.measure.density import density, median_nodes
from deploy.measure.duplicates import duplicates, normal_lines
from deploy.measure.signatures import endpoints, is_untyped, more_than_two, share_of_many
from deploy.measure.table import Row, Tree, measure
from deploy.measure.walks import files_opened, find_endpoint, follow_command
from deploy.source.files import SourceFile
from deploy.source.names import CodeBase
from tests.gates.conftest import Tree as PlantedTree

pytestmark = pytest.mark.xdist_group("gates")

SIX = (
    "def {name}(session, case):\n"
    "    a = one(case)\n"
    "    b = two(case)\n"
    "    return store(session, a, b)\n"
)


def source(text: str, file: str = "services/cases/planted.py") -> SourceFile:
    return SourceFile(file, text)


def test_tokens_and_comments_are_counted_by_lines_that_are_not_blank() -> None:
    found = density([source('"""A module."""\n\n# Why.\nx = [a for a in b]\n\n')])

    assert (found.lines, found.tokens, found.comments, found.comprehensions) == (3, 10, 1, 1)
    assert found.tokens_per_line == pytest.approx(10 / 3)
    assert found.comments_per_hundred == pytest.approx(100 / 3)


def test_conditionals_and_loose_dicts_are_counted() -> None:
    found = density([source("x: dict[str, Any] = a if b else c\ny: dict[str, int] = {}\n")])

    assert (found.conditionals, found.loose_dicts) == (1, 1)
    assert found.per_thousand(found.conditionals) == 500


def test_nodes_of_a_body_are_counted() -> None:
    # `return a` is Return, Name, Load.
    assert median_nodes([source("def say(a: int) -> int:\n    return a\n")]) == 3


def test_positional_parameters_are_counted_without_self() -> None:
    text = "class Case:\n    def move(self, a, b, *, c): ...\n    def send(self, a, b, c): ...\n"

    assert more_than_two([source(text)]) == ["services/cases/planted.py:3 send"]
    assert (
        share_of_many([source("def a(b, c, d, e, f): ...\ndef g(b, c, d, e, f, h): ...\n")]) == 50
    )


@pytest.mark.parametrize(
    "text",
    [
        "@router.post('/cases')\nasync def apply(a, b, c): ...\n",
        "def caller(a, b, c): ...\nCaller = Annotated[str, Depends(caller)]\n",
        "@event.listens_for(Session, 'after_begin')\ndef begin(a, b, c): ...\n",
        "class App:\n    async def __call__(self, scope, receive, send): ...\n",
    ],
)
def test_what_a_framework_calls_may_take_more(text: str) -> None:
    assert more_than_two([source(text)]) == []


def test_functions_take_two_parameters_by_position() -> None:
    product = Tree().product

    assert more_than_two(product) == []
    assert share_of_many(product) == 0


def test_planted_function_with_more_is_found(tree: PlantedTree) -> None:
    tree.plant("services/cases/planted.py", "def move(case, at, by, to, why, how): ...\n")

    product = Tree(tree.root).product

    assert more_than_two(product) == ["services/cases/planted.py:1 move"]
    assert share_of_many(product) > 0


def test_endpoint_without_a_type_is_counted() -> None:
    text = "\n".join(
        f"@router.get('/{number}')\nasync def get_{number}() {returns}: ...\n"
        for number, returns in enumerate(("-> Any", "", "-> CaseRead", "-> None"))
    )

    known = endpoints([source(text)])

    assert [is_untyped(endpoint) for endpoint in known] == [True, True, False, False]


def test_text_column_of_a_closed_list_is_counted() -> None:
    text = (
        "from enum import StrEnum\n"
        "class State(StrEnum):\n    OPEN = 'open'\n"
        "class Case(Base):\n"
        "    state: Mapped[State]\n    push_state: Mapped[str | None]\n    name: Mapped[str]\n"
    )

    found = columns(CodeBase([source(text)]))

    assert (found.enums, found.texts) == (1, 2)
    assert found.candidates == ["services/cases/planted.py:6 Case.push_state"]


def test_six_equal_lines_in_two_files_are_a_pair() -> None:
    first = source(SIX.format(name="accept"))
    second = source(SIX.format(name="accept"), "services/ratings/planted.py")

    pairs = duplicates([first, second])

    assert len(normal_lines(first)) == 7
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("services/cases/planted.py:1", "services/ratings/planted.py:1"),
        ("services/cases/planted.py:1", "services/ratings/planted.py:1"),
    ]


def test_six_equal_lines_in_one_file_are_a_pair() -> None:
    text = SIX.format(name="accept") + "\n\n" + SIX.format(name="refuse")

    pairs = duplicates([source(text)])

    assert [(pair.first, pair.second) for pair in pairs] == [
        ("services/cases/planted.py:1", "services/cases/planted.py:7")
    ]


def test_how_the_formatter_breaks_lines_makes_no_difference() -> None:
    wide = source("x = store(session, case, [a, b], c=d)\n")
    tall = source("x = store(\n    session,\n    case,\n    [a, b],\n    c=d,\n)\n")

    assert [one.text for one in normal_lines(wide)] == [one.text for one in normal_lines(tall)]


def test_declarations_imports_and_docstrings_are_no_duplicates() -> None:
    fields = "".join(f"    field_{number}: str\n" for number in range(9))
    text = (
        f'"""A, b, c, d, e, f, g."""\nfrom a import b, c, d, e, f, g\nclass Case(Base):\n{fields}'
    )

    assert duplicates([source(text), source(text, "services/ratings/planted.py")]) == []


def test_renamed_code_is_no_duplicate() -> None:
    other = SIX.format(name="accept").replace("case", "rating")

    assert (
        duplicates(
            [source(SIX.format(name="accept")), source(other, "services/ratings/planted.py")]
        )
        == []
    )


CODE = {
    "services/cases/router.py": """
from services.cases import use_cases
from services.cases.schemas import Apply, CaseRead
@router.post("/applications", response_model=CaseRead)
async def apply_for(command: Apply, session: Session) -> Any:
    case = await use_cases.apply_for(session, command)
    return show(case)
def show(case: Case) -> CaseRead: ...
""",
    "services/cases/schemas.py": """
class Apply(BaseModel): ...
class CaseRead(BaseModel): ...
""",
    "services/cases/use_cases/__init__.py": (
        "from services.cases.use_cases.apply import apply_for\n"
    ),
    "services/cases/use_cases/apply.py": """
from services.cases.model import Case
from services.cases.numbers import Numbers
from shared import audit
async def apply_for(session: Session, command: Apply) -> Case:
    numbers = Numbers()
    case = Case.new(command.name)
    case.number = numbers.take(case.place)
    audit.record(command)
    return check(command)
def check(command: Apply) -> Case: ...
def unused(command: Apply) -> None: ...
""",
    "services/cases/model.py": """
class Case(Base):
    @classmethod
    def new(cls, name: str) -> "Case":
        return cls(name=name)
    @property
    def place(self) -> str: ...
""",
    "services/cases/numbers.py": """
class Numbers:
    def take(self, place: str) -> str: ...
""",
    "shared/audit.py": """
from shared import clock
def record(command: Apply) -> None:
    clock.now(command)
""",
    "shared/clock.py": "def now(command: Apply) -> None: ...\n",
}


@pytest.fixture(scope="module")
def code() -> CodeBase:
    return CodeBase([SourceFile(name, text) for name, text in CODE.items()])


def test_files_are_opened_that_hold_or_pass_on_what_an_endpoint_uses(code: CodeBase) -> None:
    endpoint = find_endpoint(code, "cases", method="post", path="/applications")

    opened = files_opened(code, endpoint, service="cases")

    assert opened.visited == [
        "services/cases/router.py",
        "services/cases/use_cases/apply.py",
        "services/cases/model.py",
        "services/cases/numbers.py",
    ]
    assert opened.models == ["services/cases/schemas.py"]
    assert opened.passed == ["services/cases/use_cases/__init__.py"]


def test_value_is_followed_into_what_it_is_handed_to(code: CodeBase) -> None:
    endpoint = find_endpoint(code, "cases", method="post", path="/applications")

    journey = follow_command(code, endpoint)

    assert journey.stays == [
        "services/cases/router.py",
        "services/cases/use_cases/apply.py",
        "services/cases/model.py",
        "shared/audit.py",
        "services/cases/use_cases/apply.py",
    ]
    assert journey.returns == 1


def test_endpoint_that_is_not_there_is_named(code: CodeBase) -> None:
    with pytest.raises(LookupError, match="/nothing"):
        _ = find_endpoint(code, "cases", method="post", path="/nothing")


def test_row_that_falls_back_is_named() -> None:
    good = Row("tokens", "tokens per line", 6.4, "6.4", most=6.5)
    bad = replace(good, value=6.6, text="6.6")

    assert fallen([good], frozenset({"tokens"})) == []
    assert fallen([bad], frozenset()) == []
    assert fallen([bad], frozenset({"tokens"})) == ["tokens per line: 6.6, to reach ≤ 6.5"]


def test_table_has_every_row_of_this_code() -> None:
    rows = measure(Tree(), quick=True)

    assert len({row.key for row in rows}) == len(rows) == 16
    assert len(lines_of(rows)) == len(rows) + 2
    assert fallen(rows) == []

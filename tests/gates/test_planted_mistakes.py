"""Mistakes of business code are planted into copies of real files.

The type checker or the database must find them.

Which are missed is said by `python -m deploy.mistakes`; with `--with-tests` the tests of their
services are asked too.
"""

import pytest

from deploy.embedded import SERVICES
from deploy.mistakes.__main__ import lines_of
from deploy.mistakes.place import KINDS, Place, misspelt
from deploy.mistakes.places import find_places
from deploy.mistakes.planting import PER_KIND, Score, draw, plant, score, seed
from deploy.source.files import PRODUCT, ROOT, SourceFile, source_files
from deploy.source.names import CodeBase
from tests.gates.conftest import Tree

pytestmark = pytest.mark.xdist_group("gates")

FOUND_AT_LEAST = 0.95
PLANTED_AT_LEAST = 60


@pytest.fixture(scope="module")
def places() -> dict[str, list[Place]]:
    return find_places(CodeBase(source_files(ROOT, PRODUCT)))


@pytest.fixture(scope="module")
def result() -> Score:
    return score(seed())


@pytest.mark.timeout(600)
def test_planted_mistakes_are_found(result: Score) -> None:
    report = "\n".join(lines_of(result))
    print(report)

    assert len(result.planted) >= PLANTED_AT_LEAST
    assert result.share >= FOUND_AT_LEAST, report


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind", ["state", "answer", "command", "event", "fact", "entity", "row", "sql"]
)
def test_every_mistake_of_a_typed_kind_is_found(result: Score, kind: str) -> None:
    found, planted = result.of(kind)

    assert found == planted > 0, [place.label for place in result.missed]


def test_mistakes_stand_in_every_service(places: dict[str, list[Place]]) -> None:
    drawn = draw(places, seed())

    assert {place.file.split("/")[1] for place in drawn} == set(SERVICES)
    assert len({place.spot for place in drawn}) == len(drawn)


def test_each_kind_is_drawn_until_no_place_is_left(places: dict[str, list[Place]]) -> None:
    drawn = draw(places, seed())

    for kind in KINDS:
        count = sum(place.kind == kind for place in drawn)
        assert count == PER_KIND or len(places[kind]) < 10 * PER_KIND


def test_another_release_draws_other_places(places: dict[str, list[Place]]) -> None:
    assert set(draw(places, "0.1.0")) != set(draw(places, "0.2.0"))
    assert draw(places, "0.1.0") == draw(places, "0.1.0")


def test_place_is_where_the_file_says(places: dict[str, list[Place]]) -> None:
    for place in draw(places, seed()):
        assert (ROOT / place.file).read_bytes()[place.start : place.end].decode() == place.old


def test_mistakes_are_written_at_their_places(places: dict[str, list[Place]], tree: Tree) -> None:
    drawn = draw(places, seed())

    plant(tree.root, drawn)

    for place in drawn:
        assert place.new in (tree.root / place.file).read_text()


def test_misspelt_word_is_no_other_word() -> None:
    assert misspelt("state", frozenset()) == "stte"
    assert misspelt("state", frozenset({"stte"})) == "sate"
    assert misspelt("id", frozenset()) == "idd"


CODE = '''"""Planted."""

from enum import StrEnum

class State(StrEnum):
    OPEN = "open"

class Case(Base):
    __tablename__ = "case_file"
    state: Mapped[str]
    case_number: Mapped[str]

class CaseMoved(Event):
    number: str

LOCK = Direct("SELECT case_number FROM case_file WHERE case_number = :case_number")

async def move(case: Case, event: CaseMoved, at: str, by: str) -> CaseMoved:
    if case.state == "open" and State.OPEN:
        row = await LOCK.first(session)
        log(row.colour, case.materials["digest"])
        move(case, event, at, by)
    return CaseMoved(number=event.number)
'''


def test_every_kind_of_place_is_recognised() -> None:
    schemas = SourceFile(
        "services/cases/schemas.py",
        "class Apply(BaseModel):\n    phone: str\n\n"
        "def show(command: Apply) -> Apply:\n    return Apply(phone=command.phone)\n",
    )

    found = find_places(CodeBase([SourceFile("services/cases/planted.py", CODE), schemas]))

    old = {kind: [place.old for place in places] for kind, places in found.items()}
    assert old == {
        "state": ["open", "OPEN"],
        "answer": ["phone"],
        "command": ["phone"],
        "event": ["number"],
        "fact": ["number"],
        "document": ["digest"],
        "entity": ["state"],
        "row": ["colour"],
        "swap": ["at, by"],
        "sql": ["case_number", "case_number"],
    }

"""The question tree and the personal guide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.guides import MatterDocument, check_question_tree, online_level, personal_guide
from shared.errors import InvalidInputError
from shared.ids import new_id
from tests.builders.matters import a_document

MATTER = new_id()


def codes(document: MatterDocument, answers: dict[str, str]) -> list[str]:
    return [
        m.code for m in personal_guide(document, answers, matter_id=MATTER, version=1).materials
    ]


def test_answers_decide_the_materials() -> None:
    document = a_document()

    assert codes(document, {"Q1": "rent", "Q2": "yes"}) == ["M1", "M2", "M3", "M4"]
    assert codes(document, {"Q1": "own", "Q2": "no"}) == ["M1", "M2", "M5"]


def test_digest_is_the_same_for_the_same_answers_and_differs_otherwise() -> None:
    document = a_document()

    def digest(answers: dict[str, str], version: int = 1) -> str:
        return personal_guide(document, answers, matter_id=MATTER, version=version).digest

    first = digest({"Q1": "rent", "Q2": "yes"})
    assert first == digest({"Q2": "yes", "Q1": "rent"})
    assert (
        len({first, digest({"Q1": "rent", "Q2": "no"}), digest({"Q1": "rent", "Q2": "yes"}, 2)})
        == 3
    )


@pytest.mark.parametrize(
    ("answers", "fields"),
    [
        ({}, {"answers.Q1"}),
        ({"Q1": "rent"}, {"answers.Q2"}),
        ({"Q1": "lease", "Q9": "x"}, {"answers.Q1", "answers.Q9"}),
        ({"Q1": "rent", "Q2": "yes", "Q3": "x"}, {"answers.Q3"}),
    ],
)
def test_wrong_answers_are_all_named(answers: dict[str, str], fields: set[str]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        _ = codes(a_document(), answers)

    assert {error.field for error in refused.value.errors} == fields


def test_document_without_questions_has_one_guide() -> None:
    document = a_document(questions=[], first_question=None)

    assert codes(document, {}) == ["M1", "M2", "M3"]


def a_question(code: str, *following: str | None, **more: object) -> dict[str, object]:
    options = [
        {"code": f"o{n}", "text": {"zh": "选"}, "next": code, **more}
        for n, code in enumerate(following)
    ]
    return {
        "code": code,
        "text": {"zh": "问"},
        "options": options or [{"code": "o", "text": {"zh": "选"}}],
    }


def test_every_fault_of_a_tree_is_found_at_once() -> None:
    document = a_document(
        first_question="A",
        questions=[
            a_question("A", "B", "Z"),
            a_question("B", "C"),
            a_question("C", "B"),
            a_question("D", None, add={"materials": ["M99"]}),
            a_question("D", None),
        ],
    )

    faults = {(fault.field, fault.rule) for fault in check_question_tree(document)}

    assert faults == {
        ("questions.A.o1.next", "exists"),
        ("questions.D.o0.add.materials", "exists"),
        ("questions.D", "unique"),
        ("questions", "no_cycle"),
        ("questions.D", "reachable"),
    }


def test_missing_first_question_is_named() -> None:
    (fault,) = check_question_tree(a_document(first_question=None))

    assert (fault.field, fault.rule) == ("first_question", "exists")


def test_sound_tree_has_no_fault() -> None:
    assert check_question_tree(a_document()) == []


def test_deep_tree_is_checked_without_recursion() -> None:
    names = [f"Q{n}" for n in range(200)]
    chain = [
        a_question(name, following)
        for name, following in zip(names, [*names[1:], None], strict=True)
    ]

    assert check_question_tree(a_document(first_question="Q0", questions=chain)) == []


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=8, max_size=8))
def test_cycle_check_agrees_with_a_plain_search(edges: list[list[int]]) -> None:
    questions = [
        a_question(str(n), *(str(to) for to in targets)) for n, targets in enumerate(edges)
    ]
    document = a_document(first_question="0", questions=questions)

    def loops(start: int, seen: frozenset[int]) -> bool:
        return start in seen or any(loops(to, seen | {start}) for to in edges[start])

    found = any(fault.rule == "no_cycle" for fault in check_question_tree(document))

    assert found == any(loops(n, frozenset()) for n in range(8))


@pytest.mark.parametrize(
    ("stages", "visits", "level"),
    [
        ("", 0, 1),
        ("1", 0, 1),
        ("12", 2, 2),
        ("123", 1, 3),
        ("1234", 2, 2),
        ("12345", 0, 4),
        ("12345", 1, 3),
        ("5", 3, 2),
    ],
)
def test_online_level_is_derived(stages: str, visits: int, level: int) -> None:
    assert online_level(stages, visits) == level

"""The guide of a matter (办事指南), its question tree (情形化), and the personal guide made of it.

`MatterDocument` is the whole text of a published version and is part of `matter-published`. matters
and cases compute the same personal guide from it, so that the digest which an applicant was shown
proves what was asked of her.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import FieldError, InvalidInputError, Rule
from shared.fields import Line, Prose
from shared.texts import Choices

Code = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,40}$")]
Days = Annotated[int, Field(ge=0, le=3650)]
MatterKind = Literal["01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "20"]
"""事项类型."""
Level = Literal["1", "2", "3", "4", "5", "6", "7"]
"""行使层级."""
ObjectType = Literal["1", "2", "3", "4", "5", "6"]
"""服务对象."""
ProjectType = Literal["1", "2"]
"""办件类型: 1 即办件, 2 承诺件."""
Kind = Literal["conditions", "materials", "fees", "steps"]
"""The kinds of parts that an answer can add or drop."""
KINDS: tuple[Kind, ...] = ("conditions", "materials", "fees", "steps")
ABSENT = Field(exclude_if=lambda value: not value)
"""Left out where it is empty, so that documents from before this field keep their digest."""


class Part(BaseModel):
    """Base of everything in a guide: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bilingual(Part):
    """A text in Chinese and, where there is one, Tibetan."""

    zh: Line
    bo: Line | None = None


class Condition(Part):
    """申请条件."""

    code: Code
    text: Bilingual
    conditional: bool = False


class Material(Part):
    """申请材料: `necessity` 1 必要 2 非必要 3 容缺后补;
    `source` 10 自备 20 政府部门核发 99 其他.
    """

    code: Code
    name: Bilingual
    necessity: Literal["1", "2", "3"] = "1"
    kind: Literal["1", "2", "3"] = "1"
    form: Literal["paper", "electronic", "both"] = "both"
    copies: Annotated[int, Field(ge=0, le=99)] = 1
    source: Literal["10", "20", "99"] = "10"
    source_org: Line | None = None
    license_type_code: Code | None = None
    blank_form_url: Line | None = None
    sample_url: Line | None = None
    fill_notes: Prose | None = None
    acceptance_standard: Prose | None = None
    basis: Line | None = None
    commitment_allowed: bool = False
    conditional: bool = False


class Fee(Part):
    """收费项目; `amount_fen` in fen, None where the standard is a formula."""

    code: Code
    name: Line
    standard: Line
    basis: Line | None = None
    amount_fen: Annotated[int, Field(ge=0, le=10**11)] | None = None
    reducible: bool = False
    conditional: bool = False


class Step(Part):
    """办理环节, working days each."""

    code: Code
    name: Line
    days: Days = 0
    role: Literal["intake", "review", "decision", "delivery"]
    conditional: bool = False


class Place(Part):
    """办理地点, precise to the window."""

    name: Line
    address: Line
    window: Line | None = None
    hours: Line
    phone: Line | None = None


class Basis(Part):
    """设定依据."""

    title: Line
    article: Line | None = None
    text: Prose | None = None


class Faq(Part):
    """常见问题."""

    question: Line
    answer: Prose


class SpecialProcedure(Part):
    """特别程序 whose time is not counted."""

    kind: Line
    days: Days
    reason: Line


class Result(Part):
    """办理结果: a licence (出证), an approval (批复) or a document (出文)."""

    kind: Literal["license", "approval", "document"]
    type: Line
    name: Line
    sample: Line | None = None
    license_type_code: Code | None = None


class HandlingItem(Part):
    """业务办理项, such as a first application or a renewal.

    What it leaves empty is as the matter says. `code` is the matter's implementing code and the
    sequence; only a matter with a national code has it.
    """

    sequence: Annotated[str, Field(pattern=r"^(0[1-9]|[1-9][0-9])$")]
    code: Annotated[str, Field(max_length=33)] | None = None
    local_code: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    name: Bilingual
    object_types: Annotated[tuple[ObjectType, ...], Field(max_length=6)] = ()
    project_type: ProjectType | None = None
    legal_days: Days | None = None
    promised_days: Days | None = None


class CatalogEntry(Part):
    """基本目录, the entry of the national catalogue. `state`: 1 在用 2 挂起 3 取消."""

    code: Annotated[str, Field(max_length=12)]
    local_code: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    name: Line
    type: MatterKind
    by_law: Line
    use_levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=7)]
    state: Literal["1", "2", "3"] = "1"
    version: Annotated[int, Field(ge=1, le=9999)] = 1


class Effects(Part):
    """Codes of parts that an answer adds or drops."""

    conditions: Annotated[tuple[Code, ...], Field(max_length=100)] = ()
    materials: Annotated[tuple[Code, ...], Field(max_length=100)] = ()
    fees: Annotated[tuple[Code, ...], Field(max_length=100)] = ()
    steps: Annotated[tuple[Code, ...], Field(max_length=100)] = ()


class Option(Part):
    """An answer, what it changes, and the next question (None ends the path)."""

    code: Code
    text: Bilingual
    next: Code | None = None
    add: Effects = Effects()
    drop: Effects = Effects()


class Question(Part):
    """One question of the tree."""

    code: Code
    text: Bilingual
    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=50)]


class MatterDocument(Part):
    """One version of a matter: basic and implementing elements (实施清单) and its guide."""

    code: Annotated[str, Field(max_length=31)] | None = None
    local_code: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    catalog_code: Annotated[str, Field(max_length=12)] | None = None
    catalog_entry: Annotated[CatalogEntry | None, ABSENT] = None
    name: Bilingual
    aliases: Annotated[tuple[Line, ...], Field(max_length=30)] = ()
    main_item: Line | None = None
    type: MatterKind
    area_code: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    department_code: Code
    level: Level = "3"
    object_types: Annotated[tuple[ObjectType, ...], Field(max_length=6)] = ()
    topics: Annotated[tuple[Line, ...], Field(max_length=30)] = ()
    project_type: ProjectType = "2"
    legal_days: Days | None = None
    promised_days: Days | None = None
    handling_items: Annotated[tuple[HandlingItem, ...], Field(max_length=99), ABSENT] = ()
    special_procedures: Annotated[tuple[SpecialProcedure, ...], Field(max_length=20)] = ()
    stages: Annotated[
        tuple[Literal["1", "2", "3", "4", "5", "6", "7", "8"], ...], Field(max_length=8)
    ] = ()
    visits: Annotated[int, Field(ge=0, le=20)] = 1
    visits_reason: Line | None = None
    handling_forms: Annotated[tuple[Literal["1", "2", "3", "4", "9"], ...], Field(max_length=5)] = (
        "1",
    )
    accepts_post: bool = False
    online_url: Line | None = None
    mobile_url: Line | None = None
    result: Result | None = None
    charged: bool = False
    pay_online: bool = False
    fees: Annotated[tuple[Fee, ...], Field(max_length=50)] = ()
    conditions: Annotated[tuple[Condition, ...], Field(max_length=100)] = ()
    materials: Annotated[tuple[Material, ...], Field(max_length=300)] = ()
    steps: Annotated[tuple[Step, ...], Field(max_length=50)] = ()
    places: Annotated[tuple[Place, ...], Field(max_length=50)] = ()
    consult_phone: Line | None = None
    complaint_phone: Line | None = None
    basis: Annotated[tuple[Basis, ...], Field(max_length=50)] = ()
    faq: Annotated[tuple[Faq, ...], Field(max_length=100)] = ()
    first_question: Code | None = None
    questions: Annotated[tuple[Question, ...], Field(max_length=200)] = ()


class PersonalGuide(Part):
    """The guide for one applicant's situation; `digest` is the hash of its content."""

    matter_id: UUID
    version: int
    answers: dict[str, str]
    name: Bilingual
    legal_days: int | None
    promised_days: int | None
    conditions: tuple[Condition, ...]
    materials: tuple[Material, ...]
    fees: tuple[Fee, ...]
    steps: tuple[Step, ...]
    digest: str = ""


def online_level(stages: Iterable[str], visits: int) -> int:
    """网办深度 1 to 4, from the stages done online and the number of visits (norms §2.5)."""
    done = set(stages)
    if "5" in done and visits == 0:
        return 4
    if done & {"3", "4", "5"} and visits <= 1:
        return 3
    if done & {"2", "3", "4", "5"}:
        return 2
    return 1


def _parts(
    document: MatterDocument,
) -> dict[Kind, tuple[Condition | Material | Fee | Step, ...]]:
    return {
        "conditions": document.conditions,
        "materials": document.materials,
        "fees": document.fees,
        "steps": document.steps,
    }


def _effects(effects: Effects) -> dict[Kind, tuple[str, ...]]:
    return {
        "conditions": effects.conditions,
        "materials": effects.materials,
        "fees": effects.fees,
        "steps": effects.steps,
    }


def check_question_tree(document: MatterDocument) -> list[FieldError]:
    """All errors of the question tree: duplicates, unknown codes, cycles, unreachable questions."""
    errors = [*_duplicates(document), *_unknown_codes(document)]
    questions = {question.code: question for question in document.questions}
    if questions and document.first_question not in questions:
        errors.append(
            FieldError(
                "first_question", "exists", message="names the question that the tree begins with"
            )
        )
        return errors
    cycle = _find_cycle(questions)
    if cycle:
        errors.append(
            FieldError(
                "questions",
                "no_cycle",
                message="questions lead back to themselves: {cycle}",
                cycle=" → ".join(cycle),
            )
        )
    reached = _reachable(questions, document.first_question)
    for code in questions:
        if code not in reached:
            errors.append(
                FieldError(
                    f"questions.{code}", "reachable", message="no answer leads to this question"
                )
            )
    return errors


def _duplicates(document: MatterDocument) -> Iterator[FieldError]:
    coded: dict[str, list[str]] = {}
    for kind, parts in _parts(document).items():
        coded[kind] = [part.code for part in parts]
    coded["questions"] = [question.code for question in document.questions]
    for kind, codes in coded.items():
        for code, number in _repeated(codes):
            place = f"{kind}.{code}"
            yield FieldError(
                place, "unique", message="the code is used {number} times", number=number
            )
    for question in document.questions:
        for code, number in _repeated([option.code for option in question.options]):
            place = f"questions.{question.code}.{code}"
            yield FieldError(
                place, "unique", message="the option is used {number} times", number=number
            )


def _repeated(codes: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Codes that are used more than once, and how often."""
    for code, number in Counter(codes).items():
        if number > 1:
            yield code, number


def _unknown_codes(document: MatterDocument) -> Iterator[FieldError]:
    known: dict[Kind, set[str]] = {}
    for kind, parts in _parts(document).items():
        known[kind] = {part.code for part in parts}
    questions = {question.code for question in document.questions}
    for question in document.questions:
        for option in question.options:
            place = f"questions.{question.code}.{option.code}"
            if option.next is not None and option.next not in questions:
                yield FieldError(
                    f"{place}.next",
                    "exists",
                    message="there is no question {code}",
                    code=option.next,
                )
            yield from _unknown_effects(f"{place}.add", option.add, known=known)
            yield from _unknown_effects(f"{place}.drop", option.drop, known=known)


def _unknown_effects(
    place: str, effects: Effects, *, known: Mapping[Kind, set[str]]
) -> Iterator[FieldError]:
    for kind, codes in _effects(effects).items():
        for code in codes:
            if code not in known[kind]:
                yield FieldError(
                    f"{place}.{kind}",
                    "exists",
                    message="there is no entry {code} in {kind}",
                    code=code,
                    kind=kind,
                )


def _next_questions(question: Question) -> list[str]:
    return [option.next for option in question.options if option.next is not None]


def _find_cycle(questions: Mapping[str, Question]) -> list[str]:
    """The codes along one cycle, the first again at the end; empty when there is none."""
    done: set[str] = set()
    for root in questions:
        path: list[str] = []
        on_path: set[str] = set()
        # A stack and no recursion: whoever writes the document chooses how deep the tree is.
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            code, leaving = stack.pop()
            if leaving:
                on_path.discard(path.pop())
                done.add(code)
                continue
            if code in on_path:
                return [*path[path.index(code) :], code]
            if code in done or code not in questions:
                continue
            path.append(code)
            on_path.add(code)
            stack.append((code, True))
            for following in _next_questions(questions[code]):
                stack.append((following, False))
    return []


def _reachable(questions: Mapping[str, Question], first: str | None) -> set[str]:
    reached: set[str] = set()
    waiting: list[str] = []
    if first is not None:
        waiting.append(first)
    while waiting:
        code = waiting.pop()
        if code in questions and code not in reached:
            reached.add(code)
            waiting += _next_questions(questions[code])
    return reached


def personal_guide(
    document: MatterDocument, answers: Mapping[str, str], *, matter_id: UUID, version: int
) -> PersonalGuide:
    """The guide for these answers (`{question: option}` along the path).

    What is not conditional is shown at first; each answer along the path adds and drops parts, in
    order, a drop after an add of the same answer.

    Raises:
        InvalidInputError: naming every wrong, missing or superfluous answer.
    """
    shown = _shown(document, _walk(document, answers))
    guide = PersonalGuide(
        matter_id=matter_id,
        version=version,
        answers=dict(answers),
        name=document.name,
        legal_days=document.legal_days,
        promised_days=document.promised_days,
        conditions=tuple(one for one in document.conditions if one.code in shown["conditions"]),
        materials=tuple(one for one in document.materials if one.code in shown["materials"]),
        fees=tuple(one for one in document.fees if one.code in shown["fees"]),
        steps=tuple(one for one in document.steps if one.code in shown["steps"]),
    )
    return guide.model_copy(update={"digest": guide_digest(guide)})


def _shown(document: MatterDocument, chosen: Sequence[Option]) -> dict[Kind, set[str]]:
    """The codes of the parts that a guide shows after these answers."""
    shown: dict[Kind, set[str]] = {}
    for kind, parts in _parts(document).items():
        shown[kind] = set()
        for part in parts:
            if part.conditional:
                shown[kind].discard(part.code)
            else:
                shown[kind].add(part.code)
    for option in chosen:
        for kind, codes in _effects(option.add).items():
            shown[kind].update(codes)
        for kind, codes in _effects(option.drop).items():
            shown[kind].difference_update(codes)
    return shown


def _walk(document: MatterDocument, answers: Mapping[str, str]) -> Sequence[Option]:
    """The options that the answers choose, from the first question on."""
    questions = {question.code: question for question in document.questions}
    errors: list[FieldError] = []
    chosen: list[Option] = []
    asked: set[str] = set()
    code = document.first_question
    while code is not None and code in questions and code not in asked:
        asked.add(code)
        option = _chosen(questions[code], answers)
        if option is None:
            errors.append(_wrong_answer(questions[code], answers))
            break
        chosen.append(option)
        code = option.next
    superfluous = Rule("asked", "this question is not asked on the path of the other answers")
    for code in answers:
        if code not in asked:
            errors.append(FieldError.at(f"answers.{code}", superfluous))
    if errors:
        raise InvalidInputError("the answers do not lead through the questions", errors)
    return chosen


def _chosen(question: Question, answers: Mapping[str, str]) -> Option | None:
    answer = answers.get(question.code)
    for option in question.options:
        if option.code == answer:
            return option
    return None


def _wrong_answer(question: Question, answers: Mapping[str, str]) -> FieldError:
    options = Choices(option.code for option in question.options)
    if question.code in answers:
        rule = Rule("known_option", "choose one of: {options}", options=options)
    else:
        rule = Rule("answered", "choose one of: {options}", options=options)
    return FieldError.at(f"answers.{question.code}", rule)


def guide_digest(guide: Part) -> str:
    """`sha256:` and the hex digest of the guide's canonical JSON (sorted keys, no spaces, UTF-8).

    The guide's own `digest` is left out.
    """
    content = guide.model_dump(mode="json", exclude={"digest"})
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"

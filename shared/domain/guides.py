"""The guide of a matter (办事指南), its question tree (情形化), and the personal guide an applicant gets from it.

`MatterDocument` is the whole text of a published version and travels in `matter-published`; matters and cases compute the
same personal guide from it, so that the digest an applicant was shown proves what was asked of her.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
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
KINDS = ("conditions", "materials", "fees", "steps")
ABSENT = Field(exclude_if=lambda value: not value)
"""Not written where it is empty, so that documents from before the field keep their digest."""


class Part(BaseModel):
    """Base of everything in a guide: unchangeable, no unknown fields."""

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
    """申请材料: `necessity` 1 必要 2 非必要 3 容缺后补; `source` 10 自备 20 政府部门核发 99 其他."""

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
    """业务办理项, such as a first application or a renewal; what it leaves open is as the matter says.

    `code` is the matter's implementing code and the sequence; only a matter with a national code has it.
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
    """基本目录, what the state's catalogue says of a matter: `state` 1 在用 2 挂起 3 取消, levels that may exercise it."""

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
    """An answer, what it changes, and the question that follows (None ends the path)."""

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
    """The guide for one applicant's situation; `digest` freezes it."""

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
    """网办深度 1 to 4, derived from the stages done online and the visits (norms §2.5), never typed in."""
    done = set(stages)
    if "5" in done and visits == 0:
        return 4
    if done & {"3", "4", "5"} and visits <= 1:
        return 3
    return 2 if done & {"2", "3", "4", "5"} else 1


def check_question_tree(document: MatterDocument) -> list[FieldError]:
    """Every fault of the question tree at once: duplicates, unknown references, cycles, questions nobody reaches."""
    faults = [*_duplicates(document), *_dangling(document)]
    questions = {question.code: question for question in document.questions}
    if questions and document.first_question not in questions:
        faults.append(
            FieldError("first_question", "exists", "names the question that the tree begins with")
        )
        return faults
    cycle = _find_cycle(questions)
    if cycle:
        faults.append(
            FieldError(
                "questions",
                "no_cycle",
                "questions lead back to themselves: {cycle}",
                cycle=" → ".join(cycle),
            )
        )
    reached = _reachable(questions, document.first_question)
    faults += [
        FieldError(f"questions.{code}", "reachable", "no answer leads to this question")
        for code in questions
        if code not in reached
    ]
    return faults


def _duplicates(document: MatterDocument) -> Iterator[FieldError]:
    for kind in (*KINDS, "questions"):
        codes = Counter(part.code for part in getattr(document, kind))
        for code, number in codes.items():
            if number > 1:
                yield FieldError(
                    f"{kind}.{code}", "unique", "the code is used {number} times", number=number
                )
    for question in document.questions:
        for code, number in Counter(option.code for option in question.options).items():
            if number > 1:
                yield FieldError(
                    f"questions.{question.code}.{code}",
                    "unique",
                    "the option is used {number} times",
                    number=number,
                )


def _dangling(document: MatterDocument) -> Iterator[FieldError]:
    known = {kind: {part.code for part in getattr(document, kind)} for kind in KINDS}
    questions = {question.code for question in document.questions}
    for question in document.questions:
        for option in question.options:
            place = f"questions.{question.code}.{option.code}"
            if option.next is not None and option.next not in questions:
                yield FieldError(
                    f"{place}.next", "exists", "there is no question {code}", code=option.next
                )
            for name, effects in (("add", option.add), ("drop", option.drop)):
                for kind in KINDS:
                    for code in getattr(effects, kind):
                        if code not in known[kind]:
                            yield FieldError(
                                f"{place}.{name}.{kind}",
                                "exists",
                                "there is no entry {code} in {kind}",
                                code=code,
                                kind=kind,
                            )


def _followers(question: Question) -> list[str]:
    return [option.next for option in question.options if option.next is not None]


def _find_cycle(questions: Mapping[str, Question]) -> list[str]:
    """The codes along one cycle, first again at the end; empty when there is none. Iterative: depth is the attacker's."""
    done: set[str] = set()
    for root in questions:
        path: list[str] = []
        on_path: set[str] = set()
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
            stack += [(following, False) for following in _followers(questions[code])]
    return []


def _reachable(questions: Mapping[str, Question], first: str | None) -> set[str]:
    reached: set[str] = set()
    waiting = [first] if first is not None else []
    while waiting:
        code = waiting.pop()
        if code in questions and code not in reached:
            reached.add(code)
            waiting += _followers(questions[code])
    return reached


def personal_guide(
    document: MatterDocument, answers: Mapping[str, str], *, matter_id: UUID, version: int
) -> PersonalGuide:
    """The guide for these answers (`{question: option}` along the path). 400 naming every wrong or missing answer.

    Answers act in the order of the path; an `add` un-hides a conditional part, a `drop` takes one away, the later one wins.
    """
    chosen = _walk(document, answers)
    shown = {
        kind: {part.code: not part.conditional for part in getattr(document, kind)}
        for kind in KINDS
    }
    for option in chosen:
        for effects, is_shown in ((option.add, True), (option.drop, False)):
            for kind in KINDS:
                shown[kind].update(dict.fromkeys(getattr(effects, kind), is_shown))
    visible: dict[str, Any] = {
        kind: tuple(part for part in getattr(document, kind) if shown[kind][part.code])
        for kind in KINDS
    }
    guide = PersonalGuide(
        matter_id=matter_id,
        version=version,
        answers=dict(answers),
        name=document.name,
        legal_days=document.legal_days,
        promised_days=document.promised_days,
        **visible,
    )
    return guide.model_copy(update={"digest": guide_digest(guide)})


def _walk(document: MatterDocument, answers: Mapping[str, str]) -> Sequence[Option]:
    questions = {question.code: question for question in document.questions}
    faults: list[FieldError] = []
    chosen: list[Option] = []
    asked: set[str] = set()
    code = document.first_question
    while code is not None and code in questions and code not in asked:
        asked.add(code)
        option = next((o for o in questions[code].options if o.code == answers.get(code)), None)
        if option is None:
            options = Choices(option.code for option in questions[code].options)
            if code in answers:
                rule = Rule("known_option", "choose one of: {options}", options=options)
            else:
                rule = Rule("answered", "choose one of: {options}", options=options)
            faults.append(FieldError.at(f"answers.{code}", rule))
            break
        chosen.append(option)
        code = option.next
    superfluous = Rule("asked", "this question is not asked on the path of the other answers")
    faults += [FieldError.at(f"answers.{c}", superfluous) for c in answers if c not in asked]
    if faults:
        raise InvalidInputError("the answers do not lead through the questions", faults)
    return chosen


def guide_digest(guide: PersonalGuide) -> str:
    """`sha256:` and the hex digest of the guide's canonical JSON (sorted keys, no spaces, UTF-8)."""
    content = guide.model_dump(mode="json", exclude={"digest"})
    return (
        "sha256:" + hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    )

"""Error texts: Chinese by default, English and Tibetan on request.

The catalogues match the code.
"""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError, field_validator
from typer.testing import CliRunner

from deploy import texts as tool
from shared.errors import (
    ConflictError,
    FieldError,
    InvalidValueError,
    Rule,
    problem_body,
    pydantic_error,
)
from shared.texts import Choices, Reader, choose_language, reading, render, translate
from tests.builders.app import router
from tests.conftest import ClientFactory, ServiceClient, TokenFactory
from tests.contracts.problem_texts import text_faults

BASE = "/api/v1/assessment/test"
ENGLISH, CHINESE = Reader("en"), Reader("zh")
TIBETAN, UNREVIEWED = Reader("bo"), Reader("bo", unreviewed=True)


@pytest.fixture
async def client(client_of: ClientFactory) -> ServiceClient:
    client = await client_of("assessment")
    client.app.include_router(router)
    del client.headers["Accept-Language"]
    return client


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB", "en"),
        ("EN;Q=0.5", "en"),
        ("bo-CN", "bo"),
        ("de, fr;q=0.5", "zh"),
        ("de, en;q=0.1", "en"),
        ("zh;q=0.5, en; q=0.9", "en"),
        ("en;q=0, bo;q=0.1", "bo"),
        ("en;q=0", "zh"),
        ("en;q=x, bo", "bo"),
        ("en;q=7, bo;q=0.5", "bo"),
        ("en;q=nan", "zh"),
        ("*", "zh"),
        (";;;,,,", "zh"),
        ("x" * 10_000 + ",en", "zh"),
    ],
)
def test_language_follows_the_weights_of_the_header(header: str, language: str) -> None:
    assert choose_language(header) == language


async def test_problem_is_in_chinese_unless_another_language_is_asked_for(
    client: ServiceClient,
) -> None:
    answers = {
        wanted: await client.get(
            f"{BASE}/administration", headers={"Accept-Language": wanted} if wanted else {}
        )
        for wanted in ("", "en", "bo", "de")
    }

    titles = {wanted: answer.json()["title"] for wanted, answer in answers.items()}
    languages = {wanted: answer.headers["content-language"] for wanted, answer in answers.items()}
    assert titles == {"": "请先登录", "en": "Sign in first", "bo": "请先登录", "de": "请先登录"}
    assert languages == {"": "zh", "en": "en", "bo": "bo", "de": "zh"}
    assert {answer.headers["vary"] for answer in answers.values()} == {"Accept-Language"}
    assert {answer.json()["code"] for answer in answers.values()} == {"invalid_token"}


async def test_setting_shows_unreviewed_tibetan(client_of: ClientFactory) -> None:
    client = await client_of("assessment", show_unreviewed_texts=True)

    answer = await client.get("/nowhere", headers={"Accept-Language": "bo"})

    assert answer.json()["title"] == "མ་རྙེད།"


def test_tibetan_falls_back_to_chinese_and_that_to_english() -> None:
    def title(reader: Reader, text: str) -> str:
        return translate(
            "not_found", message=text, language=reader.language, unreviewed=reader.unreviewed
        )

    assert title(TIBETAN, "Not found") == title(CHINESE, "Not found") == "未找到"
    assert title(UNREVIEWED, "Not found") == "མ་རྙེད།"
    assert title(UNREVIEWED, "no dead letter with this event id") == "没有该事件编号的死信"
    assert title(UNREVIEWED, "nobody translated this") == "nobody translated this"


def test_placeholders_are_filled_in_every_language() -> None:
    problem = ConflictError("at {number} of {kinds}", number=3, kinds=Choices(["a", "b", "c"]))

    assert str(problem) == "conflict: at 3 of 'a', 'b' or 'c'"
    assert problem.text(CHINESE) == "at 3 of “a”、“b”、“c”"
    assert render("x", message="{one}", params={"one": Choices(["a"])}, language="en") == "'a'"
    assert render("x", message="no {placeholder}", params={}, language="en") == "no {placeholder}"


def test_rule_and_text_of_a_check_become_an_error_of_a_field() -> None:
    ruled = FieldError.at("days", Rule("limit", "at most {most}", most=5), row=2)
    checked = FieldError.of(
        "phone", rule="own_rule", error=InvalidValueError("digits 7 to 14 are no date"), row=1
    )
    plain = FieldError.of("phone", rule="own_rule", error=ValueError("as it is: {x}"))

    assert ruled.as_dict(ENGLISH) == {
        "row": 2,
        "field": "days",
        "rule": "limit",
        "message": "at most 5",
    }
    assert (checked.rule, checked.text(CHINESE)) == ("own_rule", "第 7 至 14 位不是有效日期")
    assert plain.text(CHINESE) == "as it is: {x}"
    assert ruled.renamed("hours").field == "hours"


def test_text_is_for_the_reader_at_hand() -> None:
    error = FieldError("phone", "missing", message="Field required")

    with reading(ENGLISH):
        english = error.as_dict()

    assert (english["message"], error.as_dict()["message"]) == ("Field required", "必填")


def test_problem_document_keeps_its_members_in_every_language() -> None:
    problem = ConflictError("x", [FieldError("a", "b", message="c")], extra={"more": 1})

    body = problem_body(
        problem, instance="/i", trace_id="t", reader=ENGLISH, status=418, code="teapot"
    )

    assert body == (
        b'{"type":"urn:tongban:problem:teapot","title":"Not possible in the present state",'
        b'"status":418,"detail":"x","instance":"/i","code":"teapot",'
        b'"errors":[{"field":"a","rule":"b","message":"c"}],"trace_id":"t","more":1}'
    )


class Sample(BaseModel):
    name: str = Field(min_length=2)
    tags: list[str] = Field(default=[], max_length=1)
    amount: float = Field(default=1, gt=0.5)
    kind: str = Field(default="", pattern="^[a-z]*$")
    phone: str = ""

    @field_validator("phone")
    @classmethod
    def _phone(cls, phone: str) -> str:
        if phone:
            raise InvalidValueError("at most {most} digits", most=11)
        return phone


SECRET = "540102199001011234"


def test_pydantics_errors_keep_their_english_text_and_never_repeat_the_value() -> None:
    given = {
        "name": "a",
        "tags": [SECRET, SECRET],
        "amount": 0,
        "kind": SECRET,
        "phone": SECRET,
    }

    with pytest.raises(ValidationError) as found:
        _ = Sample.model_validate(given)

    for fault in found.value.errors():
        error = pydantic_error(fault, "field")
        assert error.text(ENGLISH) == fault["msg"].removeprefix("Value error, ")
        assert SECRET not in str([error.text(ENGLISH), error.text(CHINESE), error.params])
        assert fault["type"] == "value_error" or error.text(CHINESE) != error.text(ENGLISH)


def test_list_of_values_is_read_from_pydantics_text() -> None:
    fault: Any = {
        "type": "literal_error",
        "msg": "",
        "ctx": {"expected": "'a b', \"it's\", 3 or 'or'"},
    }

    assert pydantic_error(fault, "x").text(CHINESE) == "应为以下值之一：“a b”、“it's”、“3”、“or”"


async def test_errors_of_the_framework_are_in_chinese(
    client: ServiceClient, token: TokenFactory
) -> None:
    answers = [
        await client.get("/nowhere"),
        await client.delete(f"{BASE}/items"),
        await client.post(f"{BASE}/items", content=b"{", headers=token()),
        await client.post(f"{BASE}/items", json={}, headers=token()),
        await client.post(f"{BASE}/items", content=b"x" * 2_000_000, headers=token()),
        await client.get(f"{BASE}/broken"),
    ]

    codes = [answer.json()["code"] for answer in answers]
    assert codes[:2] == ["not_found", "method_not_allowed"]
    assert [fault for answer in answers for fault in text_faults(answer.json())] == []


@pytest.mark.parametrize(
    ("text", "is_chinese"),
    [
        ("请填写 If-Match", True),
        ("应为以下值之一：“a long English name”", True),
        ("应符合格式 `not a word here`", True),
        ("未找到 the record you want", False),
        ("only English", False),
        ("ETag", False),
    ],
)
def test_english_in_a_chinese_problem_is_found(text: str, is_chinese: bool) -> None:
    document = {"title": "未找到", "detail": text, "code": "c", "errors": []}

    assert (text_faults(document) == []) == is_chinese


def test_error_without_rule_or_code_is_found() -> None:
    error = {"field": "f", "rule": "", "message": "必填"}
    document = {"title": "未找到", "detail": "未找到", "code": "", "errors": [error]}

    assert text_faults(document) == ["no code", "errors[0]: no rule"]


answering = APIRouter(prefix=BASE)


@answering.get("/judged")
async def _judged() -> list[dict[str, str | int]]:
    return [FieldError("phone", "missing", message="Field required").as_dict()]


async def test_errors_within_an_answer_are_in_the_callers_language(client: ServiceClient) -> None:
    client.app.include_router(answering)

    chinese = await client.get(f"{BASE}/judged")
    english = await client.get(f"{BASE}/judged", headers={"Accept-Language": "en"})

    assert (chinese.json()[0]["message"], english.json()[0]["message"]) == (
        "必填",
        "Field required",
    )


async def test_stored_answer_is_replayed_as_it_was_sent(
    client: ServiceClient, token: TokenFactory
) -> None:
    headers = {**token(sub="reader"), "Idempotency-Key": "language-1"}
    item = {"name": "a", "count": 1}

    first = await client.post(
        f"{BASE}/items", json=item, headers={**headers, "Accept-Language": "en"}
    )
    again = await client.post(
        f"{BASE}/items", json=item, headers={**headers, "Accept-Language": "bo"}
    )

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")


# -- the catalogues


def test_catalogues_of_shared_and_gateway_match_the_code() -> None:
    faults = tool.faults_of(tool.extract())

    parts = ("shared/", "gateway/", "pydantic", "zh/shared", "zh/gateway", "zh/pydantic", "bo/")
    assert [fault for fault in faults if fault.startswith(parts)] == []


PLANTED = """
from shared.errors import ConflictError, FieldError, InvalidValueError, Rule

TEXT = "a constant"


class OwnError(ConflictError):
    code = "own"


def plant(n: int) -> None:
    raise OwnError("own text {n}", [FieldError("f", "limit", "at most {n}", n=n)], n=n)


def rule() -> Rule:
    return Rule("named", "named text")


def value() -> None:
    raise InvalidValueError("value text")
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one module of a part `shared`, and an empty folder for its catalogues."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "planted_texts.py").write_text(PLANTED, encoding="utf-8")
    monkeypatch.setattr("shared.__path__", [*__import__("shared").__path__, str(folder)])
    return tmp_path


def found_in(root: Path, extra: str = "") -> tool.Found:
    path = root / "shared" / "planted_texts.py"
    source = PLANTED + extra
    _ = path.write_text(source, encoding="utf-8")
    __import__("sys").modules.pop("shared.planted_texts", None)
    __import__("importlib").invalidate_caches()
    return tool.extract(root)


def test_tool_finds_every_template(planted: Path) -> None:
    found = found_in(planted)

    assert set(found.texts["shared"]) == {
        ("own", "Not possible in the present state"),
        ("own", "own text {n}"),
        ("limit", "at most {n}"),
        ("named", "named text"),
        ("value_error", "value text"),
    }
    assert found.faults == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('raise ConflictError(f"state {TEXT}")', "the text is not a literal"),
        ("raise ConflictError(TEXT)", "the text is not a literal"),
        ('raise ConflictError("a {n} b")', "the placeholder {n} is not given"),
        ('_ = FieldError("f", TEXT, "text")', "the rule is not a literal"),
        ('_ = FieldError("f", "r", message="%s" % TEXT)', "the text is not a literal"),
        ('_ = Rule("r", "a {n", n=1)', "the text cannot be filled in"),
        ("raise InvalidValueError(TEXT)", "the text is not a literal"),
    ],
)
def test_tool_finds_a_planted_fault(planted: Path, line: str, fault: str) -> None:
    found = found_in(planted, f"\n\ndef wrong() -> None:\n    {line}\n")

    assert [one.partition(": ")[2].partition(": ")[0] for one in found.faults] == [fault]
    assert found.faults[0].startswith("shared/planted_texts.py:2")


ENTRIES = [
    ("own", "Not possible in the present state", "当前不能办理"),
    ("own", "own text {n}", "自有 {n}"),
    ("limit", "at most {n}", "最多 {n}"),
    ("named", "named text", "有名"),
    ("value_error", "value text", "取值"),
]


def write(locale: Path, entries: list[tuple[str, str, str]], language: str = "zh") -> None:
    lines = ['msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n']
    for context, template, text in entries:
        lines.append(f'msgctxt "{context}"\nmsgid "{template}"\nmsgstr "{text}"\n')
    folder = locale / language
    (folder / "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
    _ = (folder / "shared.po").write_text("\n".join(lines), encoding="utf-8")


def check(root: Path, entries: list[tuple[str, str, str]], compile_them: bool = True) -> list[str]:
    locale = root / "locale"
    write(locale, entries)
    write(locale, [], "bo")
    if compile_them:
        for path, content in tool.outputs(locale):
            _ = path.write_bytes(content)
    found = found_in(root)
    del found.texts["pydantic"]
    return tool.faults_of(found, locale)


def test_complete_catalogue_passes(planted: Path) -> None:
    assert check(planted, ENTRIES) == []


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (ENTRIES[1:], "no zh text in shared.po"),
        ([*ENTRIES[1:], ("own", ENTRIES[0][1], "")], "no zh text in shared.po"),
        ([*ENTRIES, ("own", "nobody says this", "无")], "no code says own"),
        ([*ENTRIES[:1], ("own", "own text {n}", "自有"), *ENTRIES[2:]], "the text lacks {n}"),
        (
            [*ENTRIES[:1], ("own", "own text {n}", "自有 {n} {m}"), *ENTRIES[2:]],
            "the text must not have {m}",
        ),
        ([*ENTRIES[:1], ("own", "own text {n}", "自有 {n"), *ENTRIES[2:]], "expected '}'"),
    ],
)
def test_incomplete_catalogue_is_found(
    planted: Path, entries: list[tuple[str, str, str]], fault: str
) -> None:
    faults = check(planted, entries)

    assert len(faults) == 1
    assert fault in faults[0]


def test_stale_compiled_file_is_found(planted: Path) -> None:
    _ = check(planted, ENTRIES)

    faults = check(planted, [*ENTRIES[:-1], ("value_error", "value text", "别的")], False)

    assert [fault for fault in faults if "stale" in fault] == faults != []


def test_parts_must_not_contradict_each_other(planted: Path) -> None:
    _ = check(planted, ENTRIES)
    locale = planted / "locale"
    other = (locale / "zh" / "shared.po").read_text(encoding="utf-8").replace("有名", "无名")
    _ = (locale / "zh" / "gateway.po").write_text(other, encoding="utf-8")

    merged, faults = tool.merge("zh", locale)

    assert len(merged) == len(ENTRIES)
    assert faults == ["zh: gateway and shared differ on named: 'named text'"]


def test_update_adds_and_keeps_texts(planted: Path) -> None:
    locale = planted / "locale"
    write(locale, [*ENTRIES[:-1], ("own", "nobody says this", "无")])
    texts = found_in(planted).texts["shared"]

    tool.write_part("zh", part="shared", texts=texts, merged={}, locale=locale)

    written = (locale / "zh" / "shared.po").read_text(encoding="utf-8")
    assert '#~ msgid "nobody says this"' in written
    assert 'msgid "value text"\nmsgstr ""' in written
    assert "最多 {n}" in written


def test_command_lists_unreviewed_texts() -> None:
    listed = CliRunner().invoke(tool.cli, ["list-unreviewed"])

    assert listed.exit_code == 0
    assert "bo  not_found  Not found  →  མ་རྙེད།" in listed.output

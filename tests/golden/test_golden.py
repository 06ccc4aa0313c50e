"""The golden files themselves: a changed value is found, and what may differ is not."""

import base64

import pytest

from tests.conftest import DATA_KEY, PLATFORM_KEY
from tests.golden import inputs, layout
from tests.golden.normalise import Normaliser, fixed
from tests.golden.recorder import FILES, difference_of

FIRST = "018f0000-0000-7000-8000-00000000000a"
SECOND = "018f0000-0000-7000-8000-00000000000b"


def a_normaliser() -> Normaliser:
    return Normaliser(
        data_key=base64.b64decode(DATA_KEY), platform_key=base64.b64decode(PLATFORM_KEY)
    )


def shown(text: str, *, problem: bool = False) -> str:
    return "\n".join(a_normaliser().lines(text, problem=problem))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"state":"accepted"}', '{"state":"Accepted"}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":"1"}', '{"a":1}'),
        ('{"a":null}', "{}"),
        ('{"a":"\\u4e2d"}', '{"a":"中"}'),
        ('{"a":[1,2]}', '{"a": [1,2]}'),
        (f'{{"a":"{FIRST}","b":"{FIRST}"}}', f'{{"a":"{FIRST}","b":"{SECOND}"}}'),
        (f'{{"a":"{fixed(1)}"}}', f'{{"a":"{fixed(2)}"}}'),
        (
            '{"errors":[{"field":"x","rule":"r","message":"m"}]}',
            '{"errors":[{"field":"y","rule":"r","message":"m"}]}',
        ),
    ],
)
def test_what_must_not_change_is_seen(before: str, after: str) -> None:
    assert difference_of(shown(before), shown(after), name="x")


def test_what_may_differ_is_not_seen() -> None:
    def problem(identifier: str, words: str) -> str:
        fault = f'{{"field":"x","rule":"r","message":"{words}"}}'
        return f'{{"title":"{words}","detail":"{words}","id":"{identifier}","errors":[{fault}]}}'

    one, other = problem(FIRST, "words"), problem(SECOND, "话")

    assert shown(one, problem=True) == shown(other, problem=True)
    assert shown(one) != shown(other)


def test_sealed_values_are_shown_by_their_content() -> None:
    value = f'{{"contact":"{inputs.seal_for({"name": "卓玛央金"}, "case.contact")}"}}'

    assert shown(value) == '{"contact":"<sealed case.contact> {"name":"卓玛央金"}"}'


def test_cursors_are_shown_by_their_content() -> None:
    cursor = base64.urlsafe_b64encode(f'["2026-03-10","{FIRST}"]'.encode()).decode().rstrip("=")

    assert shown(f'{{"next":"{cursor}"}}') == "{\"next\":\"<cursor ['2026-03-10','<id-1>']>\"}"


def test_layout_changes_no_token() -> None:
    text = '{"a":[1,{"b":"\\"x\\" \\u0041"}],"c":{},"d":[],"e":-1.50e+3,"f":true}'
    node = layout.parse(text)

    assert node is not None
    assert layout.write(node, layout.COMPACT) == text
    assert layout.has_known_spacing(text, node)


def test_no_golden_file_is_left_over(request: pytest.FixtureRequest) -> None:
    """Each file belongs to a scenario of the module that its folder is named after."""
    for path in FILES.glob("*/*.txt"):
        module = (request.path.parent / f"test_{path.parent.name}.py").read_text(encoding="utf-8")
        scenario = path.stem
        while f"def test_{scenario}(" not in module and "_" in scenario:
            scenario = scenario.rpartition("_")[0]

        assert f"def test_{scenario}(" in module, path

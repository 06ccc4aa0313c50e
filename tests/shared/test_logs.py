"""What libraries log is readable, and tells nothing about a person."""

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

Logged = Callable[..., dict[str, Any]]
PHONE = "13989047791"


@pytest.fixture
def logged(test_log: Path) -> Logged:
    """Log as a library does; the line that came of it."""

    def log(message: str, *values: object, **options: Any) -> dict[str, Any]:
        logging.getLogger("some.library").warning(message, *values, **options)
        return json.loads(test_log.read_text().splitlines()[-1])

    return log


def test_message_is_rendered(logged: Logged) -> None:
    line = logged("Unable to connect to node %d at %s: %s", 1, "kafka:9092", OSError(PHONE))

    assert line["message"] == "Unable to connect to node 1 at kafka:9092: OSError"
    assert (line["logger"], line["level"], line["event"]) == ("some.library", "warning", "library")


def test_values_that_could_tell_of_a_person_are_left_out(logged: Logged) -> None:
    for value in (PHONE, "金丝雀央宗", [PHONE], {"phone": PHONE}, "Key (phone)=(1) exists"):
        line = logged("refused %s for %r", value, value)
        assert line["message"] in {
            f"refused {kind} for '{kind}'" for kind in ("str", "list", "dict")
        }


def test_mapping_and_wrong_template_are_rendered_too(logged: Logged) -> None:
    assert logged("topic %(name)s", {"name": "tongban.cases"})["message"] == "topic tongban.cases"
    assert logged("number %d", Decimal(1))["message"] == "number %d"


def test_exception_keeps_its_class_and_place(logged: Logged) -> None:
    try:
        _ = int(PHONE + "x")
    except ValueError:
        line = logged("it failed", exc_info=True)

    assert line["error"] == "ValueError"
    assert line["at"][-1].startswith("test_logs.py:")
    assert PHONE not in json.dumps(line)

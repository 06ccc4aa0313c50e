"""ruff, basedpyright and our own checks refuse a planted fault each, and name the place."""

import json
import tomllib
from pathlib import Path

import orjson
import pytest

from tests.gates.conftest import ROOT, SOURCES, Tree

pytestmark = pytest.mark.xdist_group("gates")

BANNED = {
    "services/cases/planted_environ.py": "import os\n\nHOME = os.environ['HOME']\n",
    "services/cases/planted_getenv.py": "from os import getenv\n\nHOME = getenv('HOME')\n",
    "shared/planted_engine.py": (
        "from sqlalchemy.ext.asyncio import create_async_engine\n\n_ = create_async_engine\n"
    ),
    "shared/planted_engine_too.py": "import sqlalchemy\n\n_ = sqlalchemy.create_engine\n",
    "gateway/planted_exception.py": "from fastapi import HTTPException\n\n_ = HTTPException\n",
    "gateway/planted_exception_too.py": (
        "from fastapi.exceptions import HTTPException\n\n_ = HTTPException\n"
    ),
    "services/identity/planted_starlette.py": (
        "from starlette.exceptions import HTTPException\n\n_ = HTTPException\n"
    ),
}
BROAD = {
    "T201": "print('seen')\n",
    "DTZ005": "from datetime import datetime\n\nNOW = datetime.now()\n",
    "ASYNC251": "import time\n\n\nasync def wait() -> None:\n    time.sleep(1)\n",
    "F401": "import orjson\n",
    "PLR0917": "def add(one: int, two: int, three: int) -> int:\n    return one + two + three\n",
    "ERA001": "# x = 1\n",
    "B006": "def gather(into: list[int] = []) -> None:\n    into.append(1)\n",
}
TYPES = {
    "services/cases/planted_event.py": (
        (
            "from services.cases.case_file.model.case import Case\n"
            "from shared.domain.workdays import Moment\n\n\n"
            "def accept(case: Case, at: Moment) -> None:\n    case.accept('officer', at)\n"
        ),
        "reportUnusedCallResult",
    ),
    "services/matters/planted_await.py": (
        (
            "from shared.runtime.storage import Storage\n\n\n"
            "async def keep(storage: Storage) -> None:\n"
            "    storage.put(b'')\n"
        ),
        "reportUnusedCoroutine",
    ),
    "shared/planted_untyped.py": (
        "def double(value):\n    return value\n",
        "reportMissingParameterType",
    ),
    "gateway/planted_none.py": (
        "from gateway.routes import find_route\n\n_ = find_route('GET', path='/').service\n",
        "reportOptionalMemberAccess",
    ),
    "deploy/planted_argument.py": (
        "from deploy.postgres import EmbeddedPostgres\n\n_ = EmbeddedPostgres('var')\n",
        "reportArgumentType",
    ),
}


def line_of(output: str, file: str) -> str:
    return "\n".join(line for line in output.splitlines() if file in line)


@pytest.fixture(scope="module")
def linted(tree: Tree) -> str:
    for file, text in BANNED.items():
        tree.plant(file, text)
    for rule, text in BROAD.items():
        tree.plant(f"services/planted_{rule.lower()}.py", text)
    # In preview, which PLR0917 needs, the readable formats name rules without their codes.
    status, output = tree.run("ruff", "check", "--no-cache", "--output-format", "json", ".")
    assert status == 1
    found = orjson.loads(output)
    return "\n".join(f"{fault['filename']}: {fault['code']}" for fault in found)


@pytest.mark.parametrize("file", BANNED)
def test_ruff_refuses_what_has_one_home(linted: str, file: str) -> None:
    assert "TID251" in line_of(linted, file)


@pytest.mark.parametrize("rule", BROAD)
def test_ruff_refuses_a_fault_of_each_kind(linted: str, rule: str) -> None:
    assert rule in line_of(linted, f"services/planted_{rule.lower()}.py")


def test_ruff_format_names_an_unformatted_file(tree: Tree) -> None:
    tree.plant("shared/planted_form.py", "x = {  'a':1 }\n")

    status, output = tree.run("ruff", "format", "--no-cache", "--check", ".")

    assert status == 1
    assert "shared/planted_form.py" in output


@pytest.fixture(scope="module")
def typed(tree: Tree) -> set[tuple[str, str]]:
    """The file and the rule of every fault found."""
    for file, (text, _) in TYPES.items():
        tree.plant(file, text)
    status, output = tree.run("basedpyright", "--outputjson", *TYPES)
    assert status == 1
    faults = json.loads(output)["generalDiagnostics"]
    return {
        (Path(fault["file"]).relative_to(tree.root).as_posix(), fault["rule"]) for fault in faults
    }


@pytest.mark.parametrize("file", TYPES)
def test_basedpyright_refuses_a_fault_of_each_kind(typed: set[tuple[str, str]], file: str) -> None:
    assert (file, TYPES[file][1]) in typed


def test_basedpyright_reads_every_part() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["basedpyright"]

    assert set(SOURCES) <= set(settings["include"])
    assert settings["typeCheckingMode"] == "strict"
    assert settings["exclude"] == ["services/*/migrations"]


def test_static_target_runs_every_gate() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nstatic:")[2].partition("\n\n")[0]

    for gate in (
        "ruff format --check",
        "ruff check",
        "basedpyright",
        "lint-imports",
        "deploy.checks",
        "deploy.docs --check",
        "deploy.contracts",
    ):
        assert gate in recipe

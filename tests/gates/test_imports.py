"""import-linter refuses every import that the architecture forbids, and names the chain."""

import re
import tomllib
from typing import Any

import pytest

from deploy.embedded import SERVICES
from tests.gates.conftest import ROOT, Tree

pytestmark = pytest.mark.xdist_group("gates")

LAYERS = "Layers of every service"
BUSINESS = "Business code knows no transport"
KAFKA = "Only shared.kafka knows aiokafka"
GATEWAY = "The gateway has no database and no services"
STANDING = "Services and gateway stand on shared"
PLANTS = [
    (LAYERS, "services/matters/settings.py", "services.matters.model"),
    (LAYERS, "services/matters/model/matter.py", "services.matters.queries"),
    (LAYERS, "services/identity/queries.py", "services.identity.schemas"),
    (LAYERS, "services/identity/schemas.py", "services.identity.use_cases"),
    (LAYERS, "services/assessment/use_cases.py", "services.assessment.router"),
    (LAYERS, "services/assessment/router.py", "services.assessment.consumer"),
    (LAYERS, "services/cases/timers.py", "services.cases.consumer"),
    (LAYERS, "services/cases/router.py", "services.cases.main"),
    (LAYERS, "services/cases/main.py", "services.cases.worker"),
    (
        "Services know nothing of each other",
        "services/cases/schemas.py",
        "services.matters.schemas",
    ),
    (STANDING, "shared/clock.py", "services.cases.model"),
    (STANDING, "shared/ids.py", "gateway.limits"),
    (STANDING, "services/matters/search.py", "gateway.routes"),
    (STANDING, "services/matters/importer.py", "deploy.postgres"),
    *(
        (BUSINESS, "services/cases/case_file/use_cases.py", name)
        for name in ("fastapi", "starlette", "aiokafka", "httpx")
    ),
    (BUSINESS, "services/matters/queries/catalogue.py", "starlette"),
    (BUSINESS, "services/identity/model.py", "fastapi"),
    (KAFKA, "shared/domain/masking.py", "aiokafka"),
    (KAFKA, "services/assessment/worker.py", "aiokafka"),
    (KAFKA, "deploy/postgres.py", "aiokafka"),
    *(
        (GATEWAY, "gateway/routes.py", name)
        for name in ("sqlalchemy", "aiokafka", "services.cases.schemas")
    ),
]


def module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


@pytest.fixture(scope="module")
def report(tree: Tree) -> dict[str, str]:
    """Broken contract → the chains that break it, in a tree with every plant and one undeclared drawer."""
    for _, file, target in PLANTS:
        tree.plant(file, f"\nimport {target}\n")
    tree.plant("services/cases/helpers.py", '"""A drawer that no layer names."""\n')
    status, output = tree.run("lint-imports", "--no-cache")
    assert status == 1
    parts = re.split(r"^(.+)\n-+$", output.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def contracts() -> list[dict[str, Any]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize(("contract", "file", "target"), PLANTS)
def test_import_is_refused(report: dict[str, str], contract: str, file: str, target: str) -> None:
    assert f"{module(file)} -> {target} (l." in report[contract]


def test_every_contract_has_a_plant() -> None:
    assert {contract for contract, _, _ in PLANTS} == {contract["name"] for contract in contracts()}


def test_new_drawer_is_refused_until_a_layer_names_it(report: dict[str, str]) -> None:
    assert "services.cases.helpers" in report[LAYERS]


def test_layers_hold_for_every_service() -> None:
    assert {f"services.{name}" for name in SERVICES} == set(contracts()[0]["containers"])
    assert contracts()[0]["exhaustive"]

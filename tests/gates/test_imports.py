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
KAFKA = "Only shared.messaging.kafka knows aiokafka"
GATEWAY = "The gateway has no database and no services"
STANDING = "Services and gateway stand on shared"
DRAWERS = "Drawers of every feature"
PACKAGES = "Packages of shared"
FEATURES = "Features of "
"""A service split by feature has a contract of its own with the order of its features."""
PLANTS = [
    (LAYERS, "services/matters/settings.py", "services.matters.model"),
    (LAYERS, "services/matters/model/matter.py", "services.matters.queries"),
    (LAYERS, "services/identity/queries.py", "services.identity.schemas"),
    (LAYERS, "services/identity/schemas.py", "services.identity.use_cases"),
    (LAYERS, "services/assessment/use_cases.py", "services.assessment.router"),
    (LAYERS, "services/assessment/router.py", "services.assessment.consumer"),
    ("Features of cases", "services/cases/timers.py", "services.cases.consumer"),
    ("Features of cases", "services/cases/case_file/queries.py", "services.cases.bundles.model"),
    ("Features of cases", "services/cases/main.py", "services.cases.worker"),
    ("Features of exchange", "services/exchange/peers/queries.py", "services.exchange.access"),
    (
        "Features of exchange",
        "services/exchange/region/queries/ledger.py",
        "services.exchange.batches.model",
    ),
    ("Features of ratings", "services/ratings/rating/queries.py", "services.ratings.worker"),
    (DRAWERS, "services/cases/bundles/queries.py", "services.cases.bundles.router"),
    (DRAWERS, "services/ratings/calendar/model.py", "services.ratings.calendar.queries"),
    (DRAWERS, "services/cases/case_file/queries.py", "services.cases.case_file.schemas"),
    (PACKAGES, "shared/domain/codes.py", "shared.events.cases"),
    (PACKAGES, "shared/database/direct.py", "shared.http.app"),
    (
        "Services know nothing of each other",
        "services/cases/schema_base.py",
        "services.matters.schemas",
    ),
    (STANDING, "shared/clock.py", "services.cases.model_base"),
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
        for name in ("sqlalchemy", "aiokafka", "services.cases.schema_base")
    ),
]


NEW_DRAWERS = {
    LAYERS: "services/matters",
    "Features of cases": "services/cases",
    DRAWERS: "services/ratings/giving",
    PACKAGES: "shared",
}


def module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


@pytest.fixture(scope="module")
def report(tree: Tree) -> dict[str, str]:
    """Broken contract → the chains that break it.

    The tree holds every plant and one undeclared drawer.
    """
    for _, file, target in PLANTS:
        tree.plant(file, f"\nimport {target}\n")
    for folder in NEW_DRAWERS.values():
        tree.plant(f"{folder}/helpers.py", '"""A drawer that no layer names."""\n')
    status, output = tree.run("lint-imports", "--no-cache")
    assert status == 1
    parts = re.split(r"^(.+)\n-+$", output.partition("Broken contracts")[2], flags=re.MULTILINE)
    # The report wraps long chains at the width of a terminal.
    chains = [" ".join(part.split()) for part in parts[2::2]]
    return dict(zip(parts[1::2], chains, strict=True))


def contracts() -> list[dict[str, Any]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


@pytest.mark.parametrize(("contract", "file", "target"), PLANTS)
def test_import_is_refused(report: dict[str, str], contract: str, file: str, target: str) -> None:
    assert f"{module(file)} -> {target} (l." in report[contract]


def test_every_contract_has_a_plant() -> None:
    assert {contract for contract, _, _ in PLANTS} == {contract["name"] for contract in contracts()}


@pytest.mark.parametrize(("contract", "folder"), NEW_DRAWERS.items())
def test_new_drawer_is_refused_until_a_layer_names_it(
    report: dict[str, str], contract: str, folder: str
) -> None:
    assert f"{folder.replace('/', '.')}.helpers" in report[contract]


def test_layers_hold_for_every_service() -> None:
    by_name = {contract["name"]: contract for contract in contracts()}
    held = set(by_name[LAYERS]["containers"])
    for name, contract in by_name.items():
        if name.startswith(FEATURES):
            held |= set(contract["containers"])

    assert held == {f"services.{name}" for name in SERVICES}
    assert all(
        contract["exhaustive"]
        for name, contract in by_name.items()
        if name in {LAYERS, DRAWERS, PACKAGES} or name.startswith(FEATURES)
    )


def test_drawers_hold_for_every_feature() -> None:
    by_name = {contract["name"]: contract for contract in contracts()}
    features = {
        ".".join(folder.relative_to(ROOT).parts)
        for name in SERVICES
        if f"{FEATURES}{name}" in by_name
        for folder in (ROOT / "services" / name).iterdir()
        if folder.is_dir() and folder.name not in {"migrations", "__pycache__"}
    }

    assert features == set(by_name[DRAWERS]["containers"])

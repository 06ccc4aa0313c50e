"""The chart follows from the list of processes; `make kubernetes` has it judged."""

from importlib import import_module
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy import chart
from deploy.operate.new_secrets import new_secrets
from deploy.processes import SERVICES, processes
from shared.city import SAMPLE

VALUES: dict[str, Any] = yaml.safe_load((chart.FOLDER / "values.yaml").read_text())


def test_committed_files_are_the_generated_ones() -> None:
    for name, text in chart.files().items():
        assert (chart.FOLDER / name).read_text(encoding="utf-8") == text


def test_every_process_and_every_migration_is_there() -> None:
    assert list(VALUES["processes"]) == [process.name for process in processes()]
    assert list(VALUES["migrations"]) == list(SERVICES)


def test_secrets_are_named_and_never_given() -> None:
    names = set(new_secrets("db:5432"))
    for process in [*VALUES["processes"].values(), *VALUES["migrations"].values()]:
        assert set(process["secrets"]) <= names
        mentioned = {
            value.rpartition("/")[2]
            for value in process["env"].values()
            if value.startswith("/run/secrets/")
        }
        assert mentioned == set(process["secrets"])


@pytest.mark.parametrize("name", [process.name for process in processes()])
def test_environment_of_a_pod_satisfies_its_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = VALUES["processes"][name]
    secrets = new_secrets("db:5432")
    for variable, value in process["env"].items():
        if value.startswith("/run/secrets/"):
            monkeypatch.setenv(variable.removesuffix("_FILE"), secrets[value.rpartition("/")[2]])
        elif variable.endswith("_CITY_FILE"):
            monkeypatch.setenv(variable, str(SAMPLE))
        elif "{{" in value:
            monkeypatch.setenv(variable, "3")
        else:
            monkeypatch.setenv(variable, value)

    module = process["module"].rpartition(".")[0]
    settings: BaseSettings = import_module(f"{module}.settings").Settings()

    assert process["port"] in {getattr(settings, "port", 0), getattr(settings, "worker_port", 0)}
    assert getattr(settings, "development", False) is False

"""The containers equal the list of processes.

They are checked as far as can be told without a container engine.
"""

import base64
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.compose import FILE, compose, compose_text
from deploy.processes import SERVICES, processes

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES_OF_FILE: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))[
    "services"
]


def test_committed_file_is_the_generated_one() -> None:
    assert FILE.read_text(encoding="utf-8") == compose_text()


def test_every_process_has_its_container_and_nothing_else_runs() -> None:
    names = {process.name for process in processes()} | {
        f"{service}-migrate" for service in SERVICES
    }

    assert set(SERVICES_OF_FILE) == names | {"postgres", "kafka"}


def test_waiting_for_health_is_only_asked_of_what_has_a_health_check() -> None:
    for name, container in SERVICES_OF_FILE.items():
        for other, condition in container.get("depends_on", {}).items():
            expected = (
                "service_completed_successfully"
                if other.endswith("-migrate")
                else "service_healthy"
            )
            assert condition == {"condition": expected}, name
            assert expected != "service_healthy" or "healthcheck" in SERVICES_OF_FILE[other], (
                name,
                other,
            )


def test_start_order_has_no_ring() -> None:
    done: set[str] = set()
    while waiting := set(SERVICES_OF_FILE) - done:
        free = {
            name for name in waiting if set(SERVICES_OF_FILE[name].get("depends_on", {})) <= done
        }
        assert free, waiting
        done |= free


@pytest.mark.parametrize("name", [process.name for process in processes()])
def test_environment_of_a_container_satisfies_its_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = compose()["services"][name]
    module = container["build"]["args"]["SERVICE"].rpartition(".")[0]
    key = base64.b64encode(bytes(32)).decode()
    for variable, value in container["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{(\w+)_KEY:[^}]*\}", key, value))

    settings: BaseSettings = import_module(f"{module}.settings").Settings()

    port = int(container["healthcheck"]["test"][-1].split("127.0.0.1:")[1].split("/")[0])
    assert port in {getattr(settings, "port", 0), getattr(settings, "worker_port", 0)}
    assert getattr(settings, "development", False) is False


def test_no_secret_stands_in_the_file() -> None:
    for match in re.findall(
        r"(?:PASSWORD|DATA_KEY|PLATFORM_KEY): (.*)", FILE.read_text(encoding="utf-8")
    ):
        assert match.startswith("${"), match


def test_dockerfile_copies_what_is_there_and_runs_the_service_it_is_given() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]

    assert all((ROOT / source).exists() for source in copied)
    assert {"shared", "services", "gateway", "requirements.lock"} <= set(copied)
    assert "ARG SERVICE" in lines
    assert lines[-1] == 'CMD ["sh", "-c", "exec python -m ${SERVICE}"]'

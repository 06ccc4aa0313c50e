"""The containers equal the list of processes.

They are checked as far as can be told without a container engine; `make containers` uses one.
"""

import base64
import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.compose import (
    CITY_FOLDER,
    CITY_VOLUME,
    FILE,
    MAX_CONNECTIONS,
    ROLES,
    compose_text,
    containers,
    secret_names,
)
from deploy.operate.new_secrets import write_missing
from deploy.processes import SERVICES, processes
from shared.city import SAMPLE
from shared.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES_OF_FILE: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))[
    "services"
]
OURS = {name for name in SERVICES_OF_FILE if name not in {"postgres", "kafka"}}


def test_committed_file_is_the_generated_one() -> None:
    assert FILE.read_text(encoding="utf-8") == compose_text()


def test_every_process_has_its_container_and_nothing_else_runs() -> None:
    names = {process.name for process in processes()} | {
        f"{service}-migrate" for service in SERVICES
    }

    assert set(SERVICES_OF_FILE) == names | {"postgres", "kafka", "operate"}
    assert SERVICES_OF_FILE["operate"]["profiles"] == ["operate"]


def test_waiting_for_health_is_only_asked_of_what_has_a_health_check() -> None:
    for name, container in SERVICES_OF_FILE.items():
        for other, condition in container.get("depends_on", {}).items():
            expected = "service_healthy"
            if other.endswith("-migrate"):
                expected = "service_completed_successfully"
            assert condition == {"condition": expected}, name
            has_check = (
                "healthcheck" in SERVICES_OF_FILE[other]
                or "HEALTH_PORT" in SERVICES_OF_FILE[other]["environment"]
            )
            assert expected != "service_healthy" or has_check, (name, other)


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
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    container: dict[str, Any] = {**containers()[name]}
    module = container["command"][-1].rpartition(".")[0]
    _ = write_missing(tmp_path, "postgres:5432")
    secrets = set(container.get("secrets", []))
    for variable, value in container["environment"].items():
        if variable.endswith("_FILE") and value.startswith("/run/secrets/"):
            # The container sees only the secrets that it lists.
            assert Path(value).name in secrets
            value = str(tmp_path / Path(value).name)
        elif variable.endswith("_CITY_FILE"):
            assert value == f"{CITY_FOLDER}/{SAMPLE.name}"
            assert CITY_VOLUME in container["volumes"]
            value = str(SAMPLE)
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:[^}]*\}", "http://x", value))

    settings: BaseSettings = import_module(f"{module}.settings").Settings()

    port = int(container["environment"]["HEALTH_PORT"])
    assert port in {getattr(settings, "port", 0), getattr(settings, "worker_port", 0)}
    assert getattr(settings, "development", False) is False


def test_each_service_has_a_role_of_its_own_and_keys_of_their_own(tmp_path: Path) -> None:
    written = write_missing(tmp_path, "db:5432")
    again = write_missing(tmp_path, "db:5432")

    urls = [(tmp_path / f"{service}_database_url").read_text() for service in SERVICES]
    keys = {(tmp_path / f"{service}_data_key").read_text() for service in SERVICES}
    assert set(written) == {*secret_names(), "postgres_password", "backup_database_url"}
    assert again == []
    assert len({url.split("@")[0] for url in urls}) == len(SERVICES)
    assert len(keys) == len(SERVICES)
    assert {len(base64.b64decode(key)) for key in keys} == {32}
    assert all(url.startswith("postgresql://tongban_") for url in urls)
    # Engines show the file as it is to a process that is neither its owner nor root.
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o444}


def test_no_secret_stands_in_the_file() -> None:
    for container in SERVICES_OF_FILE.values():
        for variable, value in container.get("environment", {}).items():
            if re.search(r"PASSWORD|KEY|DATABASE_URL", variable):
                assert variable.endswith("_FILE"), variable
                assert value.startswith("/run/secrets/")


@pytest.mark.parametrize("name", sorted(OURS))
def test_container_of_ours_has_no_rights_and_an_end_to_its_hunger(name: str) -> None:
    container = SERVICES_OF_FILE[name]

    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "cpus"} <= set(container)


def test_only_the_gateway_is_published_and_on_loopback_alone() -> None:
    published = {
        name: container["ports"]
        for name, container in SERVICES_OF_FILE.items()
        if "ports" in container
    }

    assert published == {"gateway": ["127.0.0.1:${GATEWAY_PORT:-8000}:8000"]}
    assert SERVICES_OF_FILE["postgres"]["networks"] == ["data"]
    assert SERVICES_OF_FILE["kafka"]["networks"] == ["data"]
    assert SERVICES_OF_FILE["gateway"]["networks"] == ["default"]


def test_script_of_the_roles_is_a_shell_script() -> None:
    done = subprocess.run(["sh", "-n"], input=ROLES.encode(), check=False, capture_output=True)

    assert done.returncode == 0, done.stderr
    assert "SUPERUSER" not in ROLES


def test_server_has_connections_for_every_process() -> None:
    """The rule of docs/operations/connections.md, from the pools that the services have."""
    default: int = ServiceSettings.model_fields["pool_size"].default
    apis = len(SERVICES) * default + 1
    workers = len(SERVICES) * (default + 2)
    page = (ROOT / "docs/operations/connections.md").read_text(encoding="utf-8")

    assert f"| all | **{apis + workers}** |" in page
    assert f"{2 * (apis + workers) + default + 2} of them" in page
    assert apis + workers + default + 2 + 30 <= MAX_CONNECTIONS

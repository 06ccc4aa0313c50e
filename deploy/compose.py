"""`docker-compose.yml`, made from the list of processes, so that the two cannot drift.

`python -m deploy.compose` writes it; `tests/deploy/test_compose.py` holds it equal and sound without an engine.
"""

from pathlib import Path
from typing import Any

import yaml

from deploy.processes import SERVICES, Process, Surroundings, processes

FILE = Path(__file__).resolve().parent.parent / "docker-compose.yml"


def _secret(name: str) -> str:
    return f"${{{name}:?set {name} in .env}}"


def _containers() -> Surroundings:
    return Surroundings(
        database=lambda service: (
            f"postgresql://tongban:{_secret('POSTGRES_PASSWORD')}@postgres:5432/tongban_{service}"
        ),
        data_key=lambda service: _secret(f"{service.upper()}_DATA_KEY"),
        platform_key=_secret("PLATFORM_KEY"),
        kafka="kafka:9092",
        host_of=lambda process: process.name,
        listen="0.0.0.0",  # noqa: S104 - inside a container, whose ports compose alone opens
        storage="/data/uploads",
        public_url=_secret("PUBLIC_URL"),
        regional_url="${REGIONAL_URL:-}",
        development=False,
        processes=processes(),
    )


def _image(process: Process) -> dict[str, Any]:
    build = {"context": ".", "dockerfile": "deploy/Dockerfile", "args": {"SERVICE": process.module}}
    return {"image": f"tongban-{process.name}:latest", "build": build}


def _health(port: int) -> dict[str, Any]:
    program = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/readyz', timeout=3)"
    test = ["CMD", "python", "-c", program]
    return {"test": test, "interval": "5s", "timeout": "4s", "retries": 12, "start_period": "10s"}


def _container(process: Process, where: Surroundings) -> dict[str, Any]:
    needs: dict[str, Any] = {}
    if process.role == "gateway":
        needs = {f"{service}-api": {"condition": "service_healthy"} for service in SERVICES}
    else:
        needs = {
            "kafka": {"condition": "service_healthy"},
            f"{process.service}-migrate": {"condition": "service_completed_successfully"},
        }
    found: dict[str, Any] = {
        **_image(process),
        "environment": where.environment(process),
        "depends_on": needs,
        "healthcheck": _health(process.port),
        "restart": "unless-stopped",
        "stop_grace_period": "25s",
    }
    if process.role == "gateway":
        found["ports"] = [f"{process.port}:{process.port}"]
    if process.service == "cases":
        found["volumes"] = ["uploads:/data/uploads"]
    return found


def _migration(service: str, where: Surroundings) -> dict[str, Any]:
    api = next(
        process
        for process in where.processes
        if (process.service, process.role) == (service, "api")
    )
    return {
        **_image(api),
        "command": ["python", "-m", "shared.database.migrations", "upgrade", service],
        "environment": {f"{service.upper()}_DATABASE_URL": where.database(service)},
        "depends_on": {"postgres": {"condition": "service_healthy"}},
        "restart": "on-failure",
    }


def _postgres() -> dict[str, Any]:
    return {
        "image": "postgres:18",
        "environment": {
            "POSTGRES_USER": "tongban",
            "POSTGRES_PASSWORD": _secret("POSTGRES_PASSWORD"),
            "POSTGRES_INITDB_ARGS": "--locale-provider=builtin --locale=C.UTF-8",
        },
        "command": ["postgres", "-c", "max_connections=300"],
        "configs": [{"source": "databases", "target": "/docker-entrypoint-initdb.d/databases.sql"}],
        "volumes": ["postgres:/var/lib/postgresql"],
        "healthcheck": {
            "test": ["CMD-SHELL", f"pg_isready -U tongban -d tongban_{SERVICES[-1]}"],
            "interval": "3s",
            "timeout": "3s",
            "retries": 20,
        },
        "restart": "unless-stopped",
    }


def _kafka() -> dict[str, Any]:
    command = (
        "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server 127.0.0.1:9092 >/dev/null"
    )
    return {
        "image": "apache/kafka:4.3.1",
        "environment": {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@kafka:9093",
            "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_LOG_RETENTION_MS": "-1",
            "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        },
        "volumes": ["kafka:/var/lib/kafka/data"],
        "healthcheck": {
            "test": ["CMD-SHELL", command],
            "interval": "5s",
            "timeout": "10s",
            "retries": 20,
        },
        "restart": "unless-stopped",
    }


def compose() -> dict[str, Any]:
    """The same topology in containers, with health checks and start order."""
    where = _containers()
    migrations = {f"{service}-migrate": _migration(service, where) for service in SERVICES}
    databases = "".join(
        f"CREATE DATABASE tongban_{service} OWNER tongban;\n" for service in SERVICES
    )
    return {
        "name": "tongban",
        "services": {
            "postgres": _postgres(),
            "kafka": _kafka(),
            **migrations,
            **{process.name: _container(process, where) for process in where.processes},
        },
        "configs": {"databases": {"content": databases}},
        "volumes": {"postgres": {}, "kafka": {}, "uploads": {}},
    }


def compose_text() -> str:
    """`docker-compose.yml`, as committed."""
    head = "# Generated from deploy/processes.py by `make docs`; a test holds the two equal.\n"
    return head + yaml.safe_dump(compose(), sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    _ = FILE.write_text(compose_text(), encoding="utf-8")

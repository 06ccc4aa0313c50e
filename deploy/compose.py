"""`docker-compose.yml`, made from the list of processes, so that the two cannot drift.

`python -m deploy.compose` writes it. `tests/deploy/test_compose.py` compares it with the list, and
checks what can be checked without a container engine.
"""

from pathlib import Path
from typing import TypeAlias

import yaml

from deploy.command_line import new_command
from deploy.processes import SERVICES, Deployment, Process, processes

FILE = Path(__file__).resolve().parent.parent / "docker-compose.yml"

YamlValue: TypeAlias = "str | int | list[YamlValue] | YamlMap"
YamlMap: TypeAlias = "dict[str, YamlValue]"


def _secret(name: str) -> str:
    """A variable of `.env`; compose refuses to start where it is missing."""
    return f"${{{name}:?set {name} in .env}}"


def _database(service: str) -> str:
    password = _secret("POSTGRES_PASSWORD")
    return f"postgresql://tongban:{password}@postgres:5432/tongban_{service}"


def _deployment() -> Deployment:
    return Deployment(
        database=_database,
        data_key=lambda service: _secret(f"{service.upper()}_DATA_KEY"),
        platform_key=_secret("PLATFORM_KEY"),
        kafka="kafka:9092",
        # As many as this file has brokers. Whoever names three in KAFKA_BOOTSTRAP sets 3 here.
        kafka_replication=1,
        host_of=lambda process: process.name,
        listen="0.0.0.0",  # noqa: S104 - inside a container, whose ports compose alone opens
        storage="/data/uploads",
        public_url=_secret("PUBLIC_URL"),
        regional_url="${REGIONAL_URL:-}",
        development=False,
        processes=processes(),
    )


def _image(process: Process) -> YamlMap:
    build: YamlMap = {
        "context": ".",
        "dockerfile": "deploy/Dockerfile",
        "args": {"SERVICE": process.module},
    }
    return {"image": f"tongban-{process.name}:latest", "build": build}


def _health(port: int) -> YamlMap:
    url = f"http://127.0.0.1:{port}/readyz"
    # The image has Python but no curl.
    program = f"import urllib.request as u; u.urlopen('{url}', timeout=3)"
    return {
        "test": ["CMD", "python", "-c", program],
        "interval": "5s",
        "timeout": "4s",
        "retries": 12,
        "start_period": "10s",
    }


def _dependencies(process: Process) -> YamlMap:
    if process.role == "gateway":
        return {f"{service}-api": {"condition": "service_healthy"} for service in SERVICES}
    return {
        "kafka": {"condition": "service_healthy"},
        f"{process.service}-migrate": {"condition": "service_completed_successfully"},
    }


def _environment(process: Process, deployment: Deployment) -> YamlMap:
    return dict(deployment.environment(process))


def _container(process: Process, deployment: Deployment) -> YamlMap:
    container: YamlMap = {
        **_image(process),
        "environment": _environment(process, deployment),
        "depends_on": _dependencies(process),
        "healthcheck": _health(process.port),
        "restart": "unless-stopped",
        # Longer than a process takes to finish the requests that it has.
        "stop_grace_period": "25s",
    }
    if process.role == "gateway":
        container["ports"] = [f"{process.port}:{process.port}"]
    if process.service == "cases":
        container["volumes"] = ["uploads:/data/uploads"]
    return container


def _migration(api: Process, deployment: Deployment) -> YamlMap:
    """A container that migrates the database of one service and ends."""
    service = api.service
    return {
        **_image(api),
        "command": ["python", "-m", "shared.database.migrations", "upgrade", service],
        "environment": {f"{service.upper()}_DATABASE_URL": deployment.database(service)},
        "depends_on": {"postgres": {"condition": "service_healthy"}},
        "restart": "on-failure",
    }


def _postgres() -> YamlMap:
    script = "/docker-entrypoint-initdb.d/databases.sql"
    return {
        "image": "postgres:18",
        "environment": {
            "POSTGRES_USER": "tongban",
            "POSTGRES_PASSWORD": _secret("POSTGRES_PASSWORD"),
            "POSTGRES_INITDB_ARGS": "--locale-provider=builtin --locale=C.UTF-8",
        },
        "command": ["postgres", "-c", "max_connections=300"],
        "configs": [{"source": "databases", "target": script}],
        "volumes": ["postgres:/var/lib/postgresql"],
        "healthcheck": {
            # The last database of the script: when it is there, all of them are.
            "test": ["CMD-SHELL", f"pg_isready -U tongban -d tongban_{SERVICES[-1]}"],
            "interval": "3s",
            "timeout": "3s",
            "retries": 20,
        },
        "restart": "unless-stopped",
    }


def _kafka() -> YamlMap:
    program = "/opt/kafka/bin/kafka-broker-api-versions.sh"
    command = f"{program} --bootstrap-server 127.0.0.1:9092 >/dev/null"
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
            # The workers make the topics that they need; a misspelt one has to fail.
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            # A read model is rebuilt from the first event on.
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


def compose() -> YamlMap:
    """The same topology in containers, with health checks and start order."""
    deployment = _deployment()
    containers: YamlMap = {"postgres": _postgres(), "kafka": _kafka()}
    for process in deployment.processes:
        if process.role == "api":
            containers[f"{process.service}-migrate"] = _migration(process, deployment)
    for process in deployment.processes:
        containers[process.name] = _container(process, deployment)
    statements = [f"CREATE DATABASE tongban_{service} OWNER tongban;\n" for service in SERVICES]
    return {
        "name": "tongban",
        "services": containers,
        "configs": {"databases": {"content": "".join(statements)}},
        "volumes": {"postgres": {}, "kafka": {}, "uploads": {}},
    }


def compose_text() -> str:
    """`docker-compose.yml`, as committed."""
    head = "# Generated from deploy/processes.py by `make docs`; a test holds the two equal.\n"
    return head + yaml.safe_dump(compose(), sort_keys=False, width=120, allow_unicode=True)


cli = new_command()


@cli.command()
def main() -> None:
    """Write docker-compose.yml."""
    _ = FILE.write_text(compose_text(), encoding="utf-8")


if __name__ == "__main__":
    cli()

"""`docker-compose.yml`, made from the list of processes, so that the two cannot drift.

`python -m deploy.compose` writes it. `tests/deploy/test_compose.py` compares it with the list, and
checks what can be checked without a container engine; `make containers` starts it on one.
"""

from pathlib import Path
from typing import TypeAlias

import yaml

from deploy.command_line import new_command
from deploy.operate.rebuild import REBUILDABLE
from deploy.processes import (
    SECRETS,
    SERVICES,
    Deployment,
    Process,
    processes,
    secret_files,
    secret_name,
)
from deploy.versions import current_version

FILE = Path(__file__).resolve().parent.parent / "docker-compose.yml"
SECRET_FOLDER = "/run/secrets"  # noqa: S105 - where engines put them
CITY_FOLDER = "/etc/tongban/city"
CITY_VOLUME = f"${{CITY:?set CITY in .env, the folder of city.toml}}:{CITY_FOLDER}:ro"
MAX_CONNECTIONS = 300

YamlValue: TypeAlias = "str | int | float | bool | list[YamlValue] | YamlMap"
YamlMap: TypeAlias = "dict[str, YamlValue]"


def _required(name: str) -> str:
    """A variable of `.env`; compose refuses to start where it is missing."""
    return f"${{{name}:?set {name} in .env}}"


def container_deployment(*, public_url: str, regional_url: str) -> Deployment:
    """Every process in a container of its own; secrets are files, names are those of the list."""
    return Deployment(
        secrets=lambda service: secret_files(service, SECRET_FOLDER),
        kafka="kafka:9092",
        # As many as this file has brokers. Whoever names three in KAFKA_BOOTSTRAP sets 3 here.
        kafka_replication="1",
        host_of=lambda process: process.name,
        listen="0.0.0.0",  # noqa: S104 - inside a container, whose ports compose alone opens
        storage="/data/uploads",
        public_url=public_url,
        regional_url=regional_url,
        development=False,
        processes=processes(),
        city_file=f"{CITY_FOLDER}/city.toml",
        # One broker; with three of them both lines go.
    )


def _deployment() -> Deployment:
    return container_deployment(
        public_url=_required("PUBLIC_URL"), regional_url="${REGIONAL_URL:-}"
    )


def _secrets_of(service: str) -> list[YamlValue]:
    return [secret_name(service, setting) for setting in SECRETS]


def _hardened(memory: str) -> YamlMap:
    """What every container of ours gets: no rights, nothing to write to, an end to its hunger."""
    return {
        "image": f"${{TONGBAN_IMAGE:-tongban:{current_version()}}}",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - inside the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": memory,
        "pids_limit": 100,
        "cpus": 1.0,
    }


def _dependencies(process: Process) -> YamlMap:
    if process.role == "gateway":
        return {f"{service}-api": {"condition": "service_healthy"} for service in SERVICES}
    return {
        "kafka": {"condition": "service_healthy"},
        f"{process.service}-migrate": {"condition": "service_completed_successfully"},
    }


def _container(process: Process, deployment: Deployment) -> YamlMap:
    """A process of the list. Its health is asked by the image's own HEALTHCHECK."""
    port = str(process.port)
    container: YamlMap = {
        **_hardened("384m"),
        "command": ["python", "-m", process.module],
        "environment": {**deployment.environment(process), "HEALTH_PORT": port},
        "depends_on": _dependencies(process),
        "restart": "unless-stopped",
        # Longer than a process takes to finish the requests that it has.
        "stop_grace_period": "25s",
    }
    container["volumes"] = [CITY_VOLUME]
    if process.role == "gateway":
        # TLS ends in front of it, on this host or behind a tunnel.
        container["ports"] = [f"127.0.0.1:${{GATEWAY_PORT:-{port}}}:{port}"]
        container["networks"] = ["default"]
        return container
    container["secrets"] = _secrets_of(process.service)
    container["networks"] = ["default", "data"]
    if process.service == "cases":
        container["volumes"] = [CITY_VOLUME, "uploads:/data/uploads"]
    return container


def _migration(service: str, deployment: Deployment) -> YamlMap:
    """A container that migrates the database of one service and ends."""
    url = deployment.secrets(service)["DATABASE_URL_FILE"]
    container: YamlMap = {
        **_hardened("384m"),
        "command": ["python", "-m", "shared.database.migrations", "upgrade", service],
        "environment": {
            f"{service.upper()}_DATABASE_URL_FILE": url,
            f"{service.upper()}_CITY_FILE": deployment.city_file,
        },
        "volumes": [CITY_VOLUME],
        "secrets": [secret_name(service, "DATABASE_URL")],
        "depends_on": {"postgres": {"condition": "service_healthy"}},
        "networks": ["data"],
        "restart": "on-failure",
    }
    if service == SERVICES[0]:
        # Here alone: one build makes the image of all of them.
        container["build"] = {"context": ".", "dockerfile": "deploy/Dockerfile"}
    return container


def _operator(deployment: Deployment) -> YamlMap:
    """`docker compose run --rm operate COMMAND`: the operator's commands, with every secret."""
    environment: YamlMap = {"BACKUP_DATABASE_URL_FILE": f"{SECRET_FOLDER}/backup_database_url"}
    for process in deployment.processes:
        if process.role == "api":
            environment.update(deployment.environment(process))
    return {
        **_hardened("1g"),
        "profiles": ["operate"],
        "entrypoint": ["tongban"],
        "environment": environment,
        "secrets": [*secret_names(), "backup_database_url"],
        "networks": ["default", "data"],
        "volumes": [CITY_VOLUME, "uploads:/data/uploads", "${BACKUPS:-./backups}:/backups"],
    }


def secret_names() -> list[str]:
    """The secrets of all services, each once."""
    names: dict[str, None] = {}
    for service in SERVICES:
        for setting in SECRETS:
            names[secret_name(service, setting)] = None
    return list(names)


ROLES = f"""\
#!/bin/sh
# A role and a database for each service, and a role that may only copy. None is a superuser.
set -eu
make_role() {{
  url=$(cat "{SECRET_FOLDER}/$2"); password=${{url#*://*:}}; password=${{password%%@*}}
  echo "CREATE ROLE :role LOGIN PASSWORD :'password'" | psql_ -v role="$1" -v password="$password"
}}
psql_() {{ psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres "$@"; }}
run() {{ psql_ -c "$1"; }}
for service in {" ".join(SERVICES)}; do
  make_role "tongban_$service" "${{service}}_database_url"
  run "CREATE DATABASE tongban_$service OWNER tongban_$service"
  run "REVOKE ALL ON DATABASE tongban_$service FROM PUBLIC"
done
# `tongban rebuild` drops the database of a read model and makes it again.
for service in {" ".join(sorted(REBUILDABLE))}; do run "ALTER ROLE tongban_$service CREATEDB"; done
make_role tongban_backup backup_database_url
run "ALTER ROLE tongban_backup REPLICATION"
run "GRANT pg_read_all_data, pg_checkpoint TO tongban_backup"
echo "host replication tongban_backup all scram-sha-256" >>"$PGDATA/pg_hba.conf"
"""


def _postgres() -> YamlMap:
    databases: list[YamlValue] = [secret_name(name, "DATABASE_URL") for name in SERVICES]
    return {
        "image": "${POSTGRES_IMAGE:-postgres:18-trixie}",
        "environment": {
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD_FILE": f"{SECRET_FOLDER}/postgres_password",
            "POSTGRES_INITDB_ARGS": "--locale-provider=builtin --locale=C.UTF-8",
        },
        "command": ["postgres", "-c", f"max_connections={MAX_CONNECTIONS}"],
        "configs": [
            {
                "source": "roles",
                "target": "/docker-entrypoint-initdb.d/roles.sh",
                # Executable, so that the entry script runs it instead of reading it in.
                "mode": 0o555,
            }
        ],
        "secrets": ["postgres_password", "backup_database_url", *databases],
        "volumes": ["postgres:/var/lib/postgresql"],
        "networks": ["data"],
        "healthcheck": {
            # While it makes the roles the server listens on its socket alone.
            "test": ["CMD-SHELL", "pg_isready -h 127.0.0.1 -U postgres -d postgres"],
            "interval": "3s",
            "timeout": "3s",
            "start_period": "180s",
            "retries": 6,
        },
        "cap_drop": ["ALL"],
        # The entry script gives the data to the user `postgres` and becomes that user.
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": "2g",
        "shm_size": "256m",
        # A process for each connection, and its own.
        "pids_limit": MAX_CONNECTIONS + 100,
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
    }


def _kafka() -> YamlMap:
    program = "/opt/kafka/bin/kafka-broker-api-versions.sh"
    command = f"{program} --bootstrap-server 127.0.0.1:9092 >/dev/null"
    return {
        "image": "${KAFKA_IMAGE:-apache/kafka:4.3.1}",
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
        "networks": ["data"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": "1536m",
        "pids_limit": 500,
        "healthcheck": {
            "test": ["CMD-SHELL", command],
            "interval": "5s",
            "timeout": "10s",
            "start_period": "180s",
            "retries": 6,
        },
        "restart": "unless-stopped",
    }


def containers() -> dict[str, YamlMap]:
    """Every container by its name, with health checks and start order."""
    deployment = _deployment()
    found = {"postgres": _postgres(), "kafka": _kafka()}
    for service in SERVICES:
        found[f"{service}-migrate"] = _migration(service, deployment)
    for process in deployment.processes:
        found[process.name] = _container(process, deployment)
    found["operate"] = _operator(deployment)
    return found


def compose() -> YamlMap:
    """The same topology in containers."""
    secrets: YamlMap = {}
    for name in ("postgres_password", "backup_database_url", *secret_names()):
        secrets[name] = {"file": f"${{SECRETS:-./secrets}}/{name}"}
    return {
        "name": "tongban",
        "services": {**containers()},
        "networks": {"default": {}, "data": {"internal": True}},
        # Compose would put variables in.
        "configs": {"roles": {"content": ROLES.replace("$", "$$")}},
        "secrets": secrets,
        "volumes": {"postgres": {}, "kafka": {}, "uploads": {}},
    }


def compose_text() -> str:
    """`docker-compose.yml`, as committed."""
    head = "# Generated from deploy/processes.py by `make docs`; a test holds the two equal.\n"
    return head + yaml.dump(
        compose(), Dumper=_Writer, sort_keys=False, width=120, allow_unicode=True
    )


class _Writer(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _write_text(_writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _write_text)


cli = new_command()


@cli.command()
def main() -> None:
    """Write docker-compose.yml."""
    _ = FILE.write_text(compose_text(), encoding="utf-8")


if __name__ == "__main__":
    cli()

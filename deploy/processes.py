"""The list of processes that make the platform, for `make stack`, containers and Kubernetes alike.

A process is a module, a port and an environment. A `Deployment` fills in the addresses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")
GATEWAY_PORT = 8000
API_PORTS = {name: 8101 + position for position, name in enumerate(SERVICES)}
WORKER_PORT_OFFSET = 100
"""A worker's health port is its API's plus this."""
OPERATOR_PORT_OFFSET = 200
"""The gateway's port for the operator is its own plus this."""
REGION_PORT_OFFSET = 300
"""The port of the regional simulator is the gateway's plus this."""

SERVICES_WITH_LINKS = ("licenses", "ratings", "exchange")
"""They give people and peers links to the platform, and so need to know its public address."""

Role = Literal["api", "worker", "gateway"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the production topology; `port` serves HTTP (of a worker: its health).

    `number` tells copies of a process apart. Several gateways share one port, and each has its own
    besides, which is then `port`.
    """

    service: str
    role: Role
    port: int
    number: int = 1

    @property
    def name(self) -> str:
        """`cases-api`; of a further copy `cases-api.2`."""
        name = f"{self.service}-{self.role}"
        if self.role == "gateway":
            name = "gateway"
        if self.number > 1:
            name += f".{self.number}"
        return name

    @property
    def module(self) -> str:
        if self.role == "gateway":
            return "gateway.main"
        if self.role == "api":
            return f"services.{self.service}.main"
        return f"services.{self.service}.worker"

    @property
    def operator_port(self) -> int:
        """Where it tells its state; the own port of the gateway is public, so it has another."""
        if self.role == "gateway":
            return self.port + OPERATOR_PORT_OFFSET
        return self.port


def processes(offset: int = 0) -> list[Process]:
    """Every process in the order of starting, its port moved by `offset`."""
    apis = [Process(name, "api", API_PORTS[name] + offset) for name in SERVICES]
    workers = [Process(api.service, "worker", api.port + WORKER_PORT_OFFSET) for api in apis]
    # Identity comes first, because all the others need its keys; the gateway needs every API.
    return [*apis, *workers, Process("gateway", "gateway", GATEWAY_PORT + offset)]


SECRETS = ("DATABASE_URL", "DATA_KEY", "PLATFORM_KEY")
"""The settings of every service that must not be seen; the platform key is the same for all."""


def secret_name(service: str, setting: str) -> str:
    """The name under which an orchestrator keeps a secret: `cases_data_key`, `platform_key`."""
    if setting == "PLATFORM_KEY":
        return "platform_key"
    return f"{service}_{setting.lower()}"


def secret_files(service: str, folder: str) -> dict[str, str]:
    """The settings of a service that name its secrets as files in `folder`, without prefix."""
    return {f"{setting}_FILE": f"{folder}/{secret_name(service, setting)}" for setting in SECRETS}


@dataclass(frozen=True)
class Deployment:
    """Where a set of processes runs: secrets, the broker, how they find each other.

    `secrets` gives the settings of a service that must not be seen, without prefix: values, or
    files that hold them (`secret_files`).
    """

    secrets: Callable[[str], Mapping[str, str]]
    kafka: str
    kafka_replication: str
    """Copies of each topic, a number or a template; not more than there are brokers."""
    host_of: Callable[[Process], str]
    listen: str
    storage: str
    public_url: str
    regional_url: str
    development: bool
    processes: list[Process]
    city_file: str
    gateway_port: int = GATEWAY_PORT
    """The port of the gateway, also where several share it."""

    def urls(self, service: str) -> list[str]:
        """Base URLs under which the others reach the API of a service: of each copy one."""
        found: list[str] = []
        for process in self.processes:
            if process.service == service and process.role == "api":
                found.append(f"http://{self.host_of(process)}:{process.port}")
        if not found:
            raise LookupError(f"no API of {service} is deployed")
        return found

    def environment(self, process: Process) -> dict[str, str]:
        """The settings of one process, complete: it reads nothing else."""
        if process.role == "gateway":
            return self._gateway(process)
        port_setting = "PORT" if process.role == "api" else "WORKER_PORT"
        values = {
            **self.secrets(process.service),
            "JWKS_URL": self._at_identity("/api/v1/identity/jwks"),
            **self._bus(),
            "HOST": self.listen,
            port_setting: str(process.port),
            "DEVELOPMENT": str(self.development).lower(),
            "CITY_FILE": self.city_file,
        }
        values |= self._of_one(process.service)
        prefix = process.service.upper()
        return {f"{prefix}_{name}": value for name, value in values.items()}

    def _bus(self) -> dict[str, str]:
        return {
            "BUS": "kafka",
            "KAFKA_BOOTSTRAP": self.kafka,
            "KAFKA_REPLICATION": self.kafka_replication,
        }

    def _of_one(self, service: str) -> dict[str, str]:
        """Settings that not every service has."""
        values: dict[str, str] = {}
        if self.development:
            # Ctrl-C on a machine where nobody else calls.
            values["DRAIN_SECONDS"] = "0"
        if service == "cases":
            values["STORAGE_URL"] = self.storage
        if service in SERVICES_WITH_LINKS:
            values["PUBLIC_URL"] = self.public_url
        if service == "exchange" and self.regional_url:
            values["REGIONAL_URL"] = self.regional_url
        return values

    def _gateway(self, process: Process) -> dict[str, str]:
        upstreams: dict[str, str | list[str]] = {}
        for service in SERVICES:
            urls = self.urls(service)
            upstreams[service] = urls
            if len(urls) == 1:
                upstreams[service] = urls[0]
        values = {
            "GATEWAY_CITY_FILE": self.city_file,
            "GATEWAY_DEVELOPMENT": str(self.development).lower(),
            "GATEWAY_PUBLIC_URL": self.public_url,
            "GATEWAY_UPSTREAMS": orjson.dumps(upstreams).decode(),
            "GATEWAY_JWKS_URL": self._at_identity("/api/v1/identity/jwks"),
            "GATEWAY_REVOCATIONS_URL": self._at_identity("/internal/revocations"),
            "GATEWAY_HOST": self.listen,
            "GATEWAY_PORT": str(self.gateway_port),
            "GATEWAY_OPERATOR_PORT": str(process.operator_port),
        }
        if self.development:
            values["GATEWAY_DRAIN_SECONDS"] = "0"
        if process.port != self.gateway_port:
            values |= {"GATEWAY_SHARED_PORT": "true", "GATEWAY_OWN_PORT": str(process.port)}
        return values

    def _at_identity(self, path: str) -> str:
        """A path of every copy of identity: the first that answers is asked."""
        return " ".join(url + path for url in self.urls("identity"))

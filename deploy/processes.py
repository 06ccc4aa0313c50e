"""The list of processes that make the platform, for `make stack`, containers and Kubernetes alike.

A process is a module, a port and an environment. A `Deployment` fills in the addresses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")
GATEWAY_PORT = 8000
API_PORTS = {name: 8101 + position for position, name in enumerate(SERVICES)}
WORKER_PORT_OFFSET = 100
"""A worker's health port is its API's plus this."""
REGION_PORT_OFFSET = 300
"""The port of the regional simulator is the gateway's plus this."""

SERVICES_WITH_LINKS = ("licenses", "ratings", "exchange")
"""They give people and peers links to the platform, and so need to know its public address."""

Role = Literal["api", "worker", "gateway"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the production topology; `port` serves HTTP (of a worker: its health)."""

    service: str
    role: Role
    port: int

    @property
    def name(self) -> str:
        if self.role == "gateway":
            return "gateway"
        return f"{self.service}-{self.role}"

    @property
    def module(self) -> str:
        if self.role == "gateway":
            return "gateway.main"
        if self.role == "api":
            return f"services.{self.service}.main"
        return f"services.{self.service}.worker"


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
    files that hold them (`secret_files`). `extra` holds settings that every service gets.
    """

    secrets: Callable[[str], Mapping[str, str]]
    kafka: str
    host_of: Callable[[Process], str]
    listen: str
    storage: str
    public_url: str
    regional_url: str
    development: bool
    processes: list[Process]
    city_file: str
    extra: Mapping[str, str] = field(default_factory=dict[str, str])

    def url(self, service: str) -> str:
        """Base URL under which the others reach the API of a service."""
        for process in self.processes:
            if process.service == service and process.role == "api":
                return f"http://{self.host_of(process)}:{process.port}"
        raise LookupError(f"no API of {service} is deployed")

    def environment(self, process: Process) -> dict[str, str]:
        """The settings of one process, complete: it reads nothing else."""
        if process.role == "gateway":
            return self._gateway(process)
        port_setting = "PORT" if process.role == "api" else "WORKER_PORT"
        values = {
            **self.secrets(process.service),
            "JWKS_URL": f"{self.url('identity')}/api/v1/identity/jwks",
            "BUS": "kafka",
            "KAFKA_BOOTSTRAP": self.kafka,
            "HOST": self.listen,
            port_setting: str(process.port),
            "DEVELOPMENT": str(self.development).lower(),
            "CITY_FILE": self.city_file,
            **self.extra,
        }
        if process.service == "cases":
            values["STORAGE_URL"] = self.storage
        if process.service in SERVICES_WITH_LINKS:
            values["PUBLIC_URL"] = self.public_url
        if process.service == "exchange" and self.regional_url:
            values["REGIONAL_URL"] = self.regional_url
        prefix = process.service.upper()
        return {f"{prefix}_{name}": value for name, value in values.items()}

    def _gateway(self, process: Process) -> dict[str, str]:
        upstreams = {service: self.url(service) for service in SERVICES}
        return {
            "GATEWAY_CITY_FILE": self.city_file,
            "GATEWAY_DEVELOPMENT": str(self.development).lower(),
            "GATEWAY_PUBLIC_URL": self.public_url,
            "GATEWAY_UPSTREAMS": orjson.dumps(upstreams).decode(),
            "GATEWAY_JWKS_URL": f"{self.url('identity')}/api/v1/identity/jwks",
            "GATEWAY_REVOCATIONS_URL": f"{self.url('identity')}/internal/revocations",
            "GATEWAY_HOST": self.listen,
            "GATEWAY_PORT": str(process.port),
        }

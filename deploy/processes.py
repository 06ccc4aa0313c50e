"""The list of processes that make the platform: the one truth behind `make stack` and `docker-compose.yml`.

A process is a module, a port and an environment; where it runs (`Surroundings`) fills in the addresses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import orjson

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")
GATEWAY_PORT = 8000
API_PORTS = {
    "identity": 8101,
    "matters": 8102,
    "cases": 8103,
    "licenses": 8104,
    "ratings": 8105,
    "exchange": 8106,
}
API_PORTS["assessment"] = 8107
WORKER_OFFSET = 100
"""A worker's health port is its API's plus this."""

LINKING = ("licenses", "ratings", "exchange")
"""Services that give people and peers links to the platform, and so know the address by which it is reached."""

Role = Literal["api", "worker", "gateway"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the production topology; `port` serves HTTP (of a worker: its health)."""

    service: str
    role: Role
    port: int

    @property
    def name(self) -> str:
        return "gateway" if self.role == "gateway" else f"{self.service}-{self.role}"

    @property
    def module(self) -> str:
        names = {"gateway": "gateway.main", "api": f"services.{self.service}.main"}
        return names.get(self.role, f"services.{self.service}.worker")


def processes(offset: int = 0) -> list[Process]:
    """Every process in the order of starting: APIs (identity first, whose keys all need), workers, the gateway last."""
    apis = [Process(name, "api", API_PORTS[name] + offset) for name in SERVICES]
    workers = [
        Process(name, "worker", API_PORTS[name] + WORKER_OFFSET + offset) for name in SERVICES
    ]
    return [*apis, *workers, Process("gateway", "gateway", GATEWAY_PORT + offset)]


@dataclass(frozen=True)
class Surroundings:
    """Where a set of processes runs: their database URLs and keys, the broker, how they find each other."""

    database: Callable[[str], str]
    data_key: Callable[[str], str]
    platform_key: str
    kafka: str
    host_of: Callable[[Process], str]
    listen: str
    storage: str
    public_url: str
    regional_url: str
    development: bool
    processes: list[Process]

    def url(self, service: str, role: Role = "api") -> str:
        """Base URL under which the others reach a process."""
        found = next(p for p in self.processes if p.service == service and p.role == role)
        return f"http://{self.host_of(found)}:{found.port}"

    def environment(self, process: Process) -> dict[str, str]:
        """The settings of one process, complete: nothing else is read."""
        if process.role == "gateway":
            return self._gateway(process)
        prefix = process.service.upper()
        values = {
            "DATABASE_URL": self.database(process.service),
            "DATA_KEY": self.data_key(process.service),
            "PLATFORM_KEY": self.platform_key,
            "JWKS_URL": f"{self.url('identity')}/api/v1/identity/jwks",
            "BUS": "kafka",
            "KAFKA_BOOTSTRAP": self.kafka,
            "HOST": self.listen,
            "PORT" if process.role == "api" else "WORKER_PORT": str(process.port),
            "DEVELOPMENT": "true" if self.development else "false",
        }
        if process.service == "cases":
            values["STORAGE_URL"] = self.storage
        if process.service in LINKING:
            values["PUBLIC_URL"] = self.public_url
        if process.service == "exchange" and self.regional_url:
            values["REGIONAL_URL"] = self.regional_url
        return {f"{prefix}_{name}": value for name, value in values.items()}

    def _gateway(self, process: Process) -> dict[str, str]:
        upstreams = {service: self.url(service) for service in SERVICES}
        return {
            "GATEWAY_UPSTREAMS": orjson.dumps(upstreams).decode(),
            "GATEWAY_JWKS_URL": f"{self.url('identity')}/api/v1/identity/jwks",
            "GATEWAY_REVOCATIONS_URL": f"{self.url('identity')}/internal/revocations",
            "GATEWAY_HOST": self.listen,
            "GATEWAY_PORT": str(process.port),
        }

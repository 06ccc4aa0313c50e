"""Settings from the environment, checked at the start; all errors are reported at once.

Each service subclasses `ServiceSettings` with its own prefix (`CASES_`, …). Nothing else reads the
environment.
"""

import base64
import sys
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)


def _check_key(value: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(value.get_secret_value(), validate=True))
    except ValueError:
        raise ValueError("is not base64") from None
    if size != 32:
        raise ValueError(f"must be 32 bytes in base64, is {size}")
    return value


SecretKey = Annotated[SecretStr, AfterValidator(_check_key)]
"""32 random bytes in base64 (`openssl rand -base64 32`)."""
Port = Annotated[int, Field(ge=1, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service needs. Secrets have no default."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: SecretStr
    """`postgresql://user:password@host:port/database` of this service's own database."""
    data_key: SecretKey
    """Encrypts personal data and keys its look-up hashes."""
    platform_key: SecretKey
    """The same in every service: seals personal data in events, and makes pseudonyms."""
    jwks_url: str
    """Where the public keys of access tokens are read: one address, or several separated by spaces,
    of which the first that answers counts."""
    bus: Literal["kafka", "local"] = "kafka"
    kafka_bootstrap: str = ""
    kafka_replication: int | None = Field(default=None, ge=1, le=9)
    """Copies of each topic that is made: 3 unless it is said, and 1 in development. Not more than
    there are brokers. From 2 on, a fact is published when at least two brokers have it.
    """
    bus_database_url: SecretStr | None = None
    """Where the in-process bus keeps its log; only with `bus=local`."""
    pool_size: int = Field(default=10, ge=1, le=200)
    host: str = "127.0.0.1"
    port: Port = 8100
    worker_port: Port = 8200
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long an API that was asked to end still answers, and is not ready.

    Longer than those who send it requests need to notice (`GATEWAY_PROBE_SECONDS`).
    """
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    show_unreviewed_texts: bool = False
    """Show Tibetan texts that no native reader has approved; else the Chinese ones are shown."""
    development: bool = False
    """Enables what only a development or demonstration system may have. Off in production."""

    @property
    def replication(self) -> int:
        """Copies of each topic on Kafka."""
        if self.kafka_replication is not None:
            return self.kafka_replication
        if self.development:
            return 1
        return 3

    @model_validator(mode="after")
    def _bus_has_an_address(self) -> Self:
        if self.bus == "kafka" and not self.kafka_bootstrap:
            raise ValueError("kafka_bootstrap is required with bus=kafka")
        if self.bus == "local" and self.bus_database_url is None:
            raise ValueError("bus_database_url is required with bus=local")
        return self


def load(settings: type[S]) -> S:
    """Read the settings or end the process with status 2 and one line per fault (never a value)."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for fault in error.errors(include_input=False, include_url=False):
            name = prefix + "_".join(str(part) for part in fault["loc"])
            _ = sys.stderr.write(f"setting {name.upper()}: {fault['msg']}\n")
        raise SystemExit(2) from None


def database_url(service: str) -> str:
    """`<SERVICE>_DATABASE_URL` alone: all that migrations need."""

    class DatabaseSettings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=f"{service.upper()}_", extra="ignore")
        database_url: SecretStr

    return load(DatabaseSettings).database_url.get_secret_value()

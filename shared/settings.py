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

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    database_url: SecretStr
    """`postgresql://user:password@host:port/database` of this service's own database."""
    data_key: SecretKey
    """Encrypts personal data and keys its look-up hashes."""
    platform_key: SecretKey
    """The same in every service: seals personal data in events, and makes pseudonyms."""
    jwks_url: str
    """Where the public keys of access tokens are read."""
    bus: Literal["kafka", "local"] = "kafka"
    """What carries events: Kafka, or a log in PostgreSQL for a platform in one process."""
    kafka_bootstrap: str = ""
    """`host:port[,host:port…]` of brokers; required with `bus=kafka`."""
    bus_database_url: SecretStr | None = None
    """Where the in-process bus keeps its log; only with `bus=local`."""
    pool_size: int = Field(default=10, ge=1, le=200)
    """Most connections of one process to its database; the relay of a worker takes one more."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8100
    """Where the HTTP process listens."""
    worker_port: Port = 8200
    """Where the worker tells its health, metrics and state."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Most bytes of a request's body, unless an endpoint says otherwise."""
    show_unreviewed_texts: bool = False
    """Show Tibetan texts that no native reader has approved; else the Chinese ones are shown."""
    development: bool = False
    """Enables what only a development or demonstration system may have. Off in production."""

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

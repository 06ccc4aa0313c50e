"""Settings from the environment, checked at the start; all errors are reported at once.

Each service subclasses `ServiceSettings` with its own prefix (`CASES_`, …). Nothing else reads the
environment.

Every setting can also come from a file, as orchestrators hand out secrets: `CASES_DATA_KEY_FILE`
names a file whose content, without surrounding white space, is the value of `CASES_DATA_KEY`.
"""

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.city import SAMPLE, City, read_city

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


class FileFault(NamedTuple):
    """A `…_FILE` variable that cannot be used: field, name of the variable, and why."""

    field: str
    variable: str
    why: str


class _ValuesOfFiles(NamedTuple):
    values: dict[str, str]
    """Environment variable in lower case → the content of the file."""
    faults: list[FileFault]


def _read_files(settings: type[BaseSettings]) -> _ValuesOfFiles:
    """What the `…_FILE` variables of these settings name."""
    environment = {name.lower(): value for name, value in os.environ.items()}
    prefix = settings.model_config.get("env_prefix", "").lower()
    found = _ValuesOfFiles({}, [])
    for field in settings.model_fields:
        name = f"{prefix}{field}"
        path = environment.get(f"{name}_file")
        # `city_file` is a setting itself: its value is the path.
        if path is None or f"{field}_file" in settings.model_fields:
            continue
        try:
            found.values[name] = _read_file(name, path=path, environment=environment)
        except ValueError as error:
            found.faults.append(FileFault(field, f"{name}_file".upper(), str(error)))
    return found


def _read_file(name: str, *, path: str, environment: Mapping[str, str]) -> str:
    """The value in a file. Raises: `ValueError` with what is wrong, never with the value."""
    if name in environment:
        raise ValueError(f"{name.upper()} is given as well")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


class _FileSource(EnvSettingsSource):
    """Reads the files as if their contents stood in the environment."""

    def _load_env_vars(self) -> dict[str, str | None]:
        return {**_read_files(self.settings_cls).values}


class EnvironmentSettings(BaseSettings):
    """Base of all settings: from the environment, or from a file that `<NAME>_FILE` names."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    # The signature is the library's.
    @classmethod
    def settings_customise_sources(  # noqa: PLR0917
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls)


class OutgoingSettings(EnvironmentSettings):
    """How a process calls others by HTTP."""

    http_ca_file: Path | None = None
    """A private authority that is trusted beside those of the system."""
    http_proxy: str = ""
    """`http://host:port` through which foreign endpoints are called; empty: directly."""


class CitySettings(OutgoingSettings):
    """Which city is served. Nothing of it is secret."""

    city_file: Path | None = None
    """The TOML file of the city (`shared/city.py`); required outside development."""
    development: bool = False
    """Enables what only a development or demonstration system may have. Off in production."""

    @model_validator(mode="after")
    def _city_can_be_read(self) -> Self:
        if self.city_file is None and not self.development:
            raise ValueError("city_file is required outside development")
        url = str(getattr(self, "public_url", ""))
        if url and not self.development and not self.city.owns(url):
            raise ValueError(f"public_url is of none of the domains in {self.city_file}")
        return self

    @property
    def city(self) -> City:
        """The city in `city_file`; of a development system without it the sample."""
        return read_city(self.city_file or SAMPLE)


class ServiceSettings(CitySettings):
    """What every service needs. Secrets have no default."""

    database_url: SecretStr
    """`postgresql://user:password@host:port/database` of this service's own database.

    `?sslmode=verify-full&sslrootcert=FILE` asks for TLS and names the authority.
    """
    direct_database_url: SecretStr | None = None
    """The same database past PgBouncer, for the relay, the audit chain and migrations."""
    database_pooler: bool = False
    """`database_url` is that of PgBouncer in transaction mode: no startup settings (the role has
    them, `tongban database-settings`), no prepared statements that outlive a transaction."""
    data_key: SecretKey
    """Encrypts personal data and keys its look-up hashes."""
    platform_key: SecretKey
    """The same in every service: seals personal data in events, and makes pseudonyms."""
    jwks_url: str
    """Where the public keys of access tokens are read: one address, or several separated by spaces,
    of which the first that answers counts."""
    bus: Literal["kafka", "local"] = "kafka"
    """What carries events: Kafka, or a log in PostgreSQL for a platform in one process."""
    kafka_bootstrap: str = ""
    """`host:port[,host:port…]` of brokers; required with `bus=kafka`."""
    kafka_replication: int | None = Field(default=None, ge=1, le=9)
    """Copies of each topic that is made: 3 unless it is said, and 1 in development. Not more than
    there are brokers. From 2 on, a fact is published when at least two brokers have it.
    """
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to; outside a private network SASL_SSL."""
    kafka_ca_file: Path | None = None
    """The authority of the brokers' certificates; none: those that the system trusts."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How this service proves to the brokers who it is, with SASL_SSL."""
    kafka_username: str = ""
    """Its account at the brokers, with SASL_SSL."""
    kafka_password: SecretStr | None = None
    """The password of that account."""
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
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long an API that was asked to end still answers, and is not ready.

    Longer than those who send it requests need to notice (`GATEWAY_PROBE_SECONDS`).
    """
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Most bytes of a request's body, unless an endpoint says otherwise."""
    show_unreviewed_texts: bool = False
    """Show Tibetan texts that no native reader has approved; else the Chinese ones are shown."""

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
        if self.kafka_security == "SASL_SSL" and not (self.kafka_username and self.kafka_password):
            raise ValueError("kafka_username and kafka_password are required with SASL_SSL")
        if self.database_pooler and self.direct_database_url is None:
            raise ValueError("direct_database_url is required with database_pooler")
        if self.bus == "local" and self.bus_database_url is None:
            raise ValueError("bus_database_url is required with bus=local")
        return self


def load(settings: type[S]) -> S:
    """Read the settings or end the process with status 2 and one line per fault (never a value)."""
    faults = _read_files(settings).faults
    lines = [f"setting {fault.variable}: {fault.why}" for fault in faults]
    read: S | None = None
    try:
        read = settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        told = {fault.field for fault in faults}
        for fault in error.errors(include_input=False, include_url=False):
            field = "_".join(str(part) for part in fault["loc"])
            # That it is missing is only what follows from the fault of its file.
            if field not in told:
                lines.append(f"setting {(prefix + field).upper()}: {fault['msg']}")
    if read is None or lines:
        _ = sys.stderr.write("".join(f"{line}\n" for line in lines))
        raise SystemExit(2)
    return read


def city_file(service: str) -> Path | None:
    """`<SERVICE>_CITY_FILE` alone, for migrations: they fill the calendar of a new database."""

    class FileSettings(EnvironmentSettings):
        model_config = SettingsConfigDict(env_prefix=f"{service.upper()}_", extra="ignore")
        city_file: Path | None = None

    return load(FileSettings).city_file


def database_url(service: str) -> str:
    """`<SERVICE>_DATABASE_URL` alone, past a pooler: all that migrations and operators need."""

    class DatabaseSettings(EnvironmentSettings):
        model_config = SettingsConfigDict(env_prefix=f"{service.upper()}_", extra="ignore")
        database_url: SecretStr
        direct_database_url: SecretStr | None = None

    settings = load(DatabaseSettings)
    return (settings.direct_database_url or settings.database_url).get_secret_value()

"""Settings of the matters service, prefix `MATTERS_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """`warning_rules`: consistency rules that only warn here."""

    model_config = SettingsConfigDict(env_prefix="MATTERS_", frozen=True, extra="ignore")

    port: Port = 8102
    worker_port: Port = 8202
    warning_rules: frozenset[str] = frozenset({"tibetan_name"})
    max_import_bytes: int = 64 * 1024 * 1024

"""Settings of the matters service, prefix `MATTERS_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Settings of the HTTP process and the worker."""

    model_config = SettingsConfigDict(
        env_prefix="MATTERS_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8102
    """Where the HTTP process listens."""
    worker_port: Port = 8202
    """Where the worker tells its health, metrics and state."""
    warning_rules: frozenset[str] = frozenset({"tibetan_name"})
    """Consistency rules that only warn here."""
    max_import_bytes: int = 64 * 1024 * 1024
    """Most bytes of a workbook or document that is imported."""

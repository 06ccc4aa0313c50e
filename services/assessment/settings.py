"""Settings of the assessment service, prefix `ASSESSMENT_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Where the city is, beyond what every service needs."""

    model_config = SettingsConfigDict(
        env_prefix="ASSESSMENT_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    port: Port = 8107
    """Where the HTTP process listens."""
    worker_port: Port = 8207
    """Where the worker tells its health, metrics and state."""

"""Settings of the licenses service, prefix `LICENSES_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Nothing but what every service needs."""

    model_config = SettingsConfigDict(env_prefix="LICENSES_", frozen=True, extra="ignore")

    port: Port = 8104
    worker_port: Port = 8204

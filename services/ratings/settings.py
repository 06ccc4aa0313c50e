"""Settings of the ratings service, prefix `RATINGS_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Nothing but what every service needs."""

    model_config = SettingsConfigDict(env_prefix="RATINGS_", frozen=True, extra="ignore")

    port: Port = 8105
    worker_port: Port = 8205

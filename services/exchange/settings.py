"""Settings of the exchange service, prefix `EXCHANGE_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Nothing but what every service needs."""

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_", frozen=True, extra="ignore")

    port: Port = 8106
    worker_port: Port = 8206

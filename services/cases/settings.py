"""Settings of the cases service, prefix `CASES_`."""

from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """`storage_url`: where uploads lie, a local folder or `s3://bucket/prefix`."""

    model_config = SettingsConfigDict(env_prefix="CASES_", frozen=True, extra="ignore")

    port: Port = 8103
    worker_port: Port = 8203
    storage_url: str = "var/uploads"

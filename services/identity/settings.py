"""Settings of the identity service, prefix `IDENTITY_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """Times in seconds.

    `trust_gateway`: take the client's address from the last X-Forwarded-For entry, which the
    gateway sets itself.
    """

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", frozen=True, extra="ignore")

    port: Port = 8101
    worker_port: Port = 8201
    access_token_seconds: int = Field(default=600, ge=60, le=600)
    refresh_token_seconds: int = Field(default=30 * 86400, ge=3600)
    refresh_grace_seconds: int = Field(default=10, ge=0, le=60)
    sms_code_seconds: int = Field(default=300, ge=60, le=600)
    trust_gateway: bool = True

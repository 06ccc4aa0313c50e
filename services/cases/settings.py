"""Settings of the cases service, prefix `CASES_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Port, ServiceSettings


class Settings(ServiceSettings):
    """`storage_url`: where uploads lie, a local folder or `s3://bucket/prefix`."""

    model_config = SettingsConfigDict(env_prefix="CASES_", frozen=True, extra="ignore")

    port: Port = 8103
    worker_port: Port = 8203
    storage_url: str = "var/uploads"
    city_code: str = "540100000000"
    """区划 whose supervisors see every area."""
    extension_days_max: int = Field(default=10, ge=1, le=90)
    """延期: the most working days an organ's head can add (art. 42)."""
    trust_gateway: bool = True
    """Believe the last X-Forwarded-For entry, which the gateway sets itself."""
    tracking_window_seconds: int = Field(default=600, ge=1)
    tracking_tries_per_address: int = Field(default=30, ge=1)
    tracking_tries_per_number: int = Field(default=10, ge=1)
    """Budget of tries to track a case without signing in."""

"""What the schemas of cases have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.domain import codes

Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

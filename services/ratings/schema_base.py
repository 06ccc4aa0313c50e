"""What the schemas have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.domain import codes
from shared.fields import CLEAN


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), CLEAN]
"""Name or number of a hall, a window, a queue or a terminal."""
Department = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40), CLEAN
]
Area = Annotated[str, Field(pattern=r"^([0-9]{6}|[0-9]{12})$"), AfterValidator(codes.check_area)]
CaseNumber = Annotated[str, StringConstraints(min_length=1, max_length=120), CLEAN]
Phone = Annotated[str, Field(max_length=20), AfterValidator(codes.check_phone)]

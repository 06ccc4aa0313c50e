"""The city that a platform serves: one file, the same for every process.

Nothing of a city stands in the code. The days of its calendar are data of the services, changed
while they run; the file names only where the first ones come from.
"""

import tomllib
from datetime import time
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SAMPLE = Path(__file__).parent / "cities/lhasa/city.toml"
"""The city of development systems."""
Language = Literal["zh", "en", "bo"]


class _Strict(BaseModel):
    # A misspelt name must be noticed.
    model_config = ConfigDict(extra="forbid", frozen=True)


class Names(_Strict):
    """The city's name as people read it."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    bo: str | None = None


class Hours(_Strict):
    """Office hours, in the city's time: a day of a deadline ends when the offices close."""

    opens: time
    closes: time

    @model_validator(mode="after")
    def _opens_first(self) -> Self:
        if self.opens >= self.closes:
            raise ValueError("opens must be before closes")
        return self


class CalendarSource(_Strict):
    """Who announces working days and holidays, and the days that a new database begins with."""

    issuers: tuple[str, ...] = Field(min_length=1)
    seed: Path
    """CSV with the columns date, is_working and note; relative to the city's file."""


class City(_Strict):
    """A city. `name` stands in the external event types: `cn.gov.<name>.…`."""

    code: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    """区划代码; its supervisors see every area, and facts of no county are the city's."""
    name: Annotated[str, Field(pattern=r"^[a-z]{2,30}$")]
    names: Names
    languages: tuple[Language, ...]
    """In which the platform answers; Chinese is always one of them."""
    domains: tuple[str, ...] = ()
    """Domains of which public addresses may be; none: any."""
    hours: Hours
    calendar: CalendarSource

    @model_validator(mode="after")
    def _speaks_chinese(self) -> Self:
        if "zh" not in self.languages:
            raise ValueError("languages: Chinese (zh) is missing")
        return self

    def owns(self, url: str) -> bool:
        """Whether the address is of one of the city's domains."""
        host = urlsplit(url).hostname or ""
        if not self.domains:
            return True
        return any(host == domain or host.endswith(f".{domain}") for domain in self.domains)


@cache
def read_city(path: Path) -> City:
    """The city in a TOML file. Raises: `ValueError` with what is wrong in it."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        city = City.model_validate(values)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_faults_of(error)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    seed = (path.parent / city.calendar.seed).resolve()
    if not seed.is_file():
        raise ValueError(f"{path}: calendar.seed: there is no file {seed}")
    calendar = city.calendar.model_copy(update={"seed": seed})
    return city.model_copy(update={"calendar": calendar})


def _faults_of(error: ValidationError) -> str:
    faults: list[str] = []
    for fault in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in fault["loc"])
        faults.append(f"{place}: {fault['msg']}")
    return "; ".join(faults)

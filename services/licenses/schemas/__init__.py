"""Commands and answers, one file per resource."""

from services.licenses.schemas.checks import CheckLicense, CheckRead
from services.licenses.schemas.collected import CollectedLicense
from services.licenses.schemas.jobs import JobRead, SignCollected, StatisticsRead, TimerRan, TimerRun
from services.licenses.schemas.licenses import (
    ChangeLicense,
    EndLicense,
    Holder,
    IssueLicense,
    LicenseRead,
    LicenseSummary,
    RenewLicense,
    StepRead,
    VersionRead,
    Why,
)
from services.licenses.schemas.types import TypeRead
from services.licenses.schemas.uses import AuthorisationRead, Authorise, UsedLicense, UseLicense, UseRead

__all__ = [
    "AuthorisationRead",
    "Authorise",
    "ChangeLicense",
    "CheckLicense",
    "CheckRead",
    "CollectedLicense",
    "EndLicense",
    "Holder",
    "IssueLicense",
    "JobRead",
    "LicenseRead",
    "LicenseSummary",
    "RenewLicense",
    "SignCollected",
    "StatisticsRead",
    "StepRead",
    "TimerRan",
    "TimerRun",
    "TypeRead",
    "UseLicense",
    "UseRead",
    "UsedLicense",
    "VersionRead",
    "Why",
]

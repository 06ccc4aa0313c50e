"""The route table: which path goes to which service, and which needs no token. Everything not named here is 404."""

import re
from dataclasses import dataclass

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")

PUBLIC = re.compile(
    r"(POST /api/v1/identity/(sms-codes|sessions/(sms|password|refresh)|oauth/token)"
    r"|GET /api/v1/identity/jwks"
    r"|GET /api/v1/matters/(areas|departments|catalogue|catalogue/[^/]+|suggestions|statistics)"
    r"|POST /api/v1/matters/personal-guides"
    r"|POST /api/v1/cases/tracking"
    r"|GET /api/v1/assessment/daily-reports/[^/]+"
    r"|GET /api/v1/[a-z]+/openapi\.json)"
)
"""Public by nature: signing in, the catalogue, tracking with number and phone, published figures."""
LOW_PRIORITY = re.compile(r"/api/v1/(assessment|matters/imports|matters/catalogue-documents|cases/imports)")
"""Shed first when the gateway is full: reports and bulk work wait, people do not."""
PATH = re.compile(r"/api/v1/([a-z]+)((?:/[A-Za-z0-9_.~:@!$&'()*+,;=-]+)*)/?")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes and what it needs."""

    service: str
    public: bool
    low_priority: bool


def find_route(method: str, path: str) -> Route | None:
    """The route of a raw path; None for anything outside the table, and for every path that tries to be clever."""
    match = PATH.fullmatch(path)
    if match is None or match[1] not in SERVICES or any(part in {".", ".."} for part in path.split("/")):
        return None
    verb = "GET" if method == "HEAD" else method
    return Route(match[1], PUBLIC.fullmatch(f"{verb} {path}") is not None, LOW_PRIORITY.match(path) is not None)

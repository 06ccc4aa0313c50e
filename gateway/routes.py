"""The route table: which path goes to which service, what needs no token, what has its own rate, what is shed first.

Everything not named here is 404.
"""

import re
from typing import NamedTuple

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")


class Rule(NamedTuple):
    """What is special about some paths (a pattern below `/api/v1/`, after the method); the first that fits counts.

    `public`: by nature open to everybody. `low_priority`: shed first when the gateway is full (reports and bulk work
    wait, people do not). `rate`: the class whose own, stricter rate (`Settings.route_rates`) is added to the general one.
    """

    pattern: str
    public: bool = False
    low_priority: bool = False
    rate: str = ""


RULES = (
    Rule("POST identity/sms-codes", public=True, rate="sms_codes"),
    Rule(
        "POST identity/sessions/(?:sms|password|mini-program|mini-program/binding)",
        public=True,
        rate="sign_in",
    ),
    Rule("POST identity/oauth/token", public=True, rate="sign_in"),
    Rule("POST identity/sessions/refresh", public=True),
    Rule("GET identity/jwks", public=True),
    Rule(
        "GET matters/(?:areas|departments|catalogue|catalogue/[^/]+|suggestions|statistics)",
        public=True,
    ),
    Rule("GET matters/bundles(?:/(?!drafts)[^/]+)?", public=True),
    Rule("POST matters/(?:personal-guides|bundles/[^/]+/personal-guide)", public=True),
    Rule("POST cases/tracking", public=True, rate="tracking"),
    Rule("POST ratings/ratings(?:/[^/]+/supplements)?", public=True, rate="ratings"),
    Rule("GET ratings/invitations/[^/]+", public=True, rate="ratings"),
    Rule("GET ratings/(?:tags|keys)", public=True),
    Rule(r"GET exchange/(?:asyncapi\.json|schemas|schemas/[^/]+|webhook-keys)", public=True),
    Rule("GET exchange/events", low_priority=True),
    Rule("GET licenses/(?:types|types/[^/]+|types/[^/]+/versions/[^/]+|keys)", public=True),
    Rule("POST licenses/checks", public=True, rate="license_checks"),
    Rule("GET licenses/checks/[^/]+", public=True, rate="license_checks"),
    Rule("GET assessment/daily-reports/[^/]+", public=True, low_priority=True),
    Rule("GET ratings/published", public=True),
    Rule(r"GET ratings/published/statistics(?:\.csv)?", public=True, low_priority=True),
    Rule("(?:GET|POST) ratings/tickets/[^/]+/(?:outcome|re-rating)", public=True, rate="tracking"),
    Rule("GET ratings/statistics/recount", low_priority=True),
    Rule("GET exchange/keys", public=True),
    Rule(r"GET [a-z]+/openapi\.json", public=True),
    Rule(
        "[A-Z]+ (?:assessment|matters/imports|matters/catalogue-documents|cases/imports|exchange/batches).*",
        low_priority=True,
    ),
    Rule("[A-Z]+ licenses/(?:statistics|signing-jobs).*", low_priority=True),
)
ORDINARY = Rule("")

_RULE = re.compile("|".join(f"({rule.pattern})" for rule in RULES))
_PATH = re.compile(r"/api/v1/([a-z]+)(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~:@!$&'()*+,;=-]+)*/?")


class Route(NamedTuple):
    """Where a request goes and what it needs."""

    service: str
    public: bool
    low_priority: bool
    rate: str


_ROUTES = {
    (service, place): Route(service, rule.public, rule.low_priority, rule.rate)
    for service in SERVICES
    for place, rule in [(None, ORDINARY), *enumerate(RULES, start=1)]
}
"""By service and the place of the rule in the table, for every request to find one that is made already."""


def find_route(method: str, path: str) -> Route | None:
    """The route of a raw path; None for anything outside the table, and for every path that tries to be clever."""
    match = _PATH.fullmatch(path)
    if match is None or match[1] not in SERVICES:
        return None
    verb = "GET" if method == "HEAD" else method
    found = _RULE.fullmatch(f"{verb} {path[8:]}")
    return _ROUTES[match[1], found.lastindex if found is not None else None]

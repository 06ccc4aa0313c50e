"""The route table: the service of each path, and which paths are public, limited or low priority.

Every path outside the table is 404.
"""

import re
from typing import NamedTuple

SERVICES = ("identity", "matters", "cases", "licenses", "ratings", "exchange", "assessment")


class Rule(NamedTuple):
    """What is special about some paths; the first rule that fits counts.

    `pattern` is the method and the path below `/api/v1/`. `public` paths need no token.
    `low_priority` ones are refused first when the gateway is full: reports and bulk work can wait,
    people cannot. `rate` names a stricter rate (`Settings.route_rates`) beside the general one.
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
        "[A-Z]+ (?:assessment|matters/imports|matters/catalogue-documents|cases/imports"
        "|exchange/batches).*",
        low_priority=True,
    ),
    Rule("[A-Z]+ licenses/(?:statistics|signing-jobs).*", low_priority=True),
)

_RULE = re.compile("|".join(f"({rule.pattern})" for rule in RULES))
_PATH = re.compile(r"/api/v1/([a-z]+)(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~:@!$&'()*+,;=-]+)*/?")


class Route(NamedTuple):
    """Where a request goes and what it needs."""

    service: str
    public: bool
    low_priority: bool
    rate: str


def _routes() -> dict[tuple[str, int | None], Route]:
    """Every route by service and number of its rule, so that no request has to make one."""
    routes: dict[tuple[str, int | None], Route] = {}
    for service in SERVICES:
        routes[service, None] = Route(service, public=False, low_priority=False, rate="")
        for number, rule in enumerate(RULES, start=1):
            routes[service, number] = Route(service, rule.public, rule.low_priority, rule.rate)
    return routes


_ROUTES = _routes()


def find_route(method: str, *, path: str) -> Route | None:
    """The route of a raw path; None outside the table, and for paths with dots or escapes."""
    match = _PATH.fullmatch(path)
    if match is None or match[1] not in SERVICES:
        return None
    verb = "GET" if method == "HEAD" else method
    rule = _RULE.fullmatch(f"{verb} {path[8:]}")
    number = None if rule is None else rule.lastindex
    return _ROUTES[match[1], number]

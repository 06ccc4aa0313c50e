"""What the outside sees of the platform's facts: one table of internal fact → external type, and the envelope of one event.

An external type is `cn.gov.<city>.<domain>.<entity>.<action>.v<major>`. Facts that are not named here stay inside. The data
is that of the fact without what is never told (`NEVER`) and what the table leaves out; `revision` and the time are in the
envelope. The id stays the internal one, so that a fact has one name everywhere.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson
from pydantic import ConfigDict, create_model

from shared.events import assessment as assessment_facts
from shared.events import cases as case_facts
from shared.events import licenses as license_facts
from shared.events import matters as matter_facts
from shared.events import ratings as rating_facts
from shared.events.base import Envelope, Event

Classification = Literal["1", "2", "3", "4"]
"""数据分级: 1 public, 2 internal to government, 3 sensitive, 4 core."""

NEVER = frozenset({"contact", "holder", "records", "account_id", "operator", "published_by"})
"""Sealed fields, pseudonyms and accounts: for the services alone, whatever fact carries them."""
ENVELOPE = frozenset({"revision", "occurred_at"})
CANON = "1"
"""Rule of `recorddigest`: SHA-256 over UTF-8 JSON with sorted keys and no spaces."""
LEADS_TO_RATER = frozenset({"subject_id", "case_id", "case_number"})
"""Of a rating without a name: a case has one applicant, and the invitation's id can be reckoned from the case's number."""


@dataclass(frozen=True)
class ExternalType:
    """How one internal fact is shown outside; `fields` without those of `left_out` make its data.

    What is `named_only` is told of a fact with `real_name` alone; one that does not say so counts as anonymous. `cut` makes
    of a field's value what may be told of it.
    """

    fact: type[Event]
    entity: str
    action: str
    classification: Classification = "2"
    left_out: frozenset[str] = field(default=frozenset())
    named_only: frozenset[str] = field(default=frozenset())
    cut: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict[str, Callable[[Any], Any]])
    major: int = 1

    def name(self, city: str) -> str:
        return f"cn.gov.{city}.{self.fact.service}.{self.entity}.{self.action}.v{self.major}"

    @cached_property
    def shown(self) -> tuple[str, ...]:
        hidden = NEVER | ENVELOPE | self.left_out
        return tuple(name for name in self.fact.model_fields if name not in hidden)

    def data(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The external data of a fact's data, nothing that the type does not name."""
        hidden = self.named_only if self._is_anonymous(given) else frozenset[str]()
        told = {name: given[name] for name in self.shown if name in given and name not in hidden}
        return told | {name: cut(told[name]) for name, cut in self.cut.items() if name in told}

    def key(self, envelope: Envelope) -> str:
        """What the outside keeps the fact's order by. All facts of an anonymous rating go by the rating's own id."""
        return (
            str(envelope.data["rating_id"]) if self._is_anonymous(envelope.data) else envelope.key
        )

    def _is_anonymous(self, given: Mapping[str, Any]) -> bool:
        return bool(self.named_only) and given.get("real_name") is not True

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the data. A receiver ignores what it does not know; the platform sends nothing else."""
        fields: Any = {name: (info.annotation, info) for name, info in self._fields().items()}
        shape = create_model(
            f"{self.entity}-{self.action}", __config__=ConfigDict(extra="forbid"), **fields
        )
        document = shape.model_json_schema(mode="serialization")
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **document,
            "required": [name for name in document["required"] if name not in self.named_only],
            "description": self.fact.__doc__ or "",
        }

    def _fields(self) -> dict[str, Any]:
        return {name: self.fact.model_fields[name] for name in self.shown}


def _of(service: Any, entity: str, facts: Mapping[str, str], **more: Any) -> list[ExternalType]:
    return [
        ExternalType(getattr(service, name), entity, action, **more)
        for name, action in facts.items()
    ]


TABLE: tuple[ExternalType, ...] = (
    *_of(
        matter_facts,
        "matter",
        {
            "MatterPublished": "published",
            "MatterSuspended": "suspended",
            "MatterCancelled": "cancelled",
        },
        classification="1",
    ),
    *_of(matter_facts, "bundle", {"BundlePublished": "published"}, classification="1"),
    *_of(matter_facts, "supervision", {"SupervisionRecorded": "recorded"}),
    *_of(
        case_facts,
        "case",
        {
            "CaseSubmitted": "submitted",
            "CaseReceived": "received",
            "CorrectionRequested": "correction-requested",
            "CaseAccepted": "accepted",
            "CaseNotAccepted": "not-accepted",
            "CaseSuspended": "suspended",
            "CaseResumed": "resumed",
            "CaseExtended": "extended",
            "CaseDueChanged": "due-changed",
            "CaseDecided": "decided",
            "ResultDelivered": "delivered",
            "CaseWithdrawn": "withdrawn",
            "CaseClosed": "closed",
            "CaseImported": "imported",
        },
    ),
    *_of(
        license_facts,
        "license",
        {
            "LicenseIssued": "issued",
            "LicenseChanged": "changed",
            "LicenseSuspended": "suspended",
            "LicenseRevoked": "revoked",
            "LicenseExpired": "expired",
        },
        classification="3",
    ),
    *_of(
        rating_facts,
        "rating",
        {
            "RatingSubmitted": "submitted",
            "RatingSupplemented": "supplemented",
            "RatingExcluded": "excluded",
            "RatingPublished": "published",
            "RatingRerated": "rerated",
        },
        named_only=LEADS_TO_RATER,
    ),
    *_of(
        rating_facts,
        "bad-rating",
        {"BadRatingOpened": "opened", "BadRatingRectified": "rectified"},
        named_only=LEADS_TO_RATER,
    ),
    *_of(
        assessment_facts,
        "daily-report",
        {"DailyReportPublished": "published"},
        classification="1",
        cut={"figures": assessment_facts.without_ratings},
    ),
)
BY_FACT = {external.fact.wire_type: external for external in TABLE}
FACTS = tuple(external.fact for external in TABLE)


def types_of(city: str) -> dict[str, ExternalType]:
    """Every external type by its name."""
    return {external.name(city): external for external in TABLE}


@dataclass(frozen=True, slots=True)
class City:
    """What the settings say of the city, for the envelope."""

    code: str
    name: str
    public_url: str

    def schema_url(self, type: str) -> str:
        return f"{self.public_url.rstrip('/')}/api/v1/exchange/schemas/{type}"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event ready for the log but for its sequence: the document's members, and the columns to choose it by."""

    envelope: Envelope
    type: str
    key: str
    area_code: str
    department_code: str
    matter_code: str | None
    occurred_at: str
    document: dict[str, Any]

    def seal(self, sequence: int) -> bytes:
        """The CloudEvents bytes, the same for every peer, every way and every repetition."""
        return orjson.dumps({**self.document, "sequence": f"{sequence:020d}"})


def digest(data: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the canonical data (`CANON`)."""
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()


def draft(envelope: Envelope, city: City) -> Draft:
    """What the outside will see of an internal fact; KeyError for one that stays inside."""
    external = BY_FACT[envelope.type]
    given = envelope.data
    data, name, key = external.data(given), external.name(city.name), external.key(envelope)
    area = str(given.get("area_code") or city.code)
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(envelope.id),
        "source": f"/city/{city.code[:6]}/{external.fact.service}/{external.entity}",
        "type": name,
        "subject": key,
        "time": given["occurred_at"],
        "recordedtime": envelope.recorded or given["occurred_at"],
        "datacontenttype": "application/json",
        "dataschema": city.schema_url(name),
        "dataclassification": external.classification,
        "partitionkey": key,
        "entityversion": str(envelope.revision),
        "recorddigest": digest(data),
        "canonver": CANON,
        "correlationid": envelope.correlation or str(envelope.id),
        "data": data,
    }
    if envelope.causation:
        document["causationid"] = envelope.causation
    return Draft(
        envelope,
        name,
        key,
        area,
        str(given.get("department_code") or ""),
        _matter_code(external, given),
        given["occurred_at"],
        document,
    )


def _matter_code(external: ExternalType, given: Mapping[str, Any]) -> str | None:
    """The matter's code as its facts and those of its cases carry it; None where there is no matter."""
    if external.entity == "matter":
        return given.get("code") or given.get("local_code")
    return given.get("matter_code")

"""The platform's facts as the outside sees them: external types and the envelope of one event.

An external type is `cn.gov.<city>.<domain>.<entity>.<action>.v<major>`. Facts that `TABLE` does not
name stay inside. The data is that of the fact without what is never shown (`NEVER`) and what the
table leaves out; `revision` and the time are in the envelope. The id stays the internal one, so
that a fact has one id everywhere.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NotRequired, TypedDict, cast

import orjson
from pydantic import ConfigDict, create_model
from pydantic.fields import FieldInfo

from shared.events import assessment, cases, licenses, matters, ratings
from shared.events.base import Envelope, Event

Classification = Literal["1", "2", "3", "4"]
"""数据分级: 1 public, 2 internal to government, 3 sensitive, 4 core."""
JsonObject = dict[str, object]
Cut = Callable[[Any], object]  # each function takes the JSON value of its own field

NEVER = frozenset({"contact", "holder", "records", "account_id", "operator", "published_by"})
"""Sealed fields, pseudonyms and accounts: for the services alone, whatever fact carries them."""
IN_ENVELOPE = frozenset({"revision", "occurred_at"})
CANON = "1"
"""Rule of `recorddigest`: SHA-256 over UTF-8 JSON with sorted keys and no spaces."""
LEADS_TO_RATER = frozenset({"subject_id", "case_id", "case_number"})
"""What identifies the rater of an anonymous rating.

A case has one applicant, and the invitation's id can be computed from the case's number.
"""


class ObjectSchema(TypedDict):
    """JSON Schema of an object, as far as it is read here."""

    required: list[str]


@dataclass(frozen=True)
class ExternalType:
    """How one internal fact is shown outside; `fact`'s fields without `left_out` make its data.

    Fields in `named_only` are shown only when the fact has `real_name` true; a fact that does not
    say so counts as anonymous. `cut` maps a field to the function that reduces its value to what
    may be shown.
    """

    fact: type[Event]
    entity: str
    action: str
    classification: Classification = "2"
    left_out: frozenset[str] = field(default=frozenset())
    named_only: frozenset[str] = field(default=frozenset())
    cut: Mapping[str, Cut] = field(default_factory=dict[str, Cut])
    major: int = 1

    def name(self, city: str) -> str:
        return f"cn.gov.{city}.{self.fact.service}.{self.entity}.{self.action}.v{self.major}"

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """Names of the fields that the data may have."""
        hidden = NEVER | IN_ENVELOPE | self.left_out
        return tuple(name for name in self.fact.model_fields if name not in hidden)

    def data(self, given: Mapping[str, object]) -> JsonObject:
        """The external data of a fact's data; nothing that the type does not name."""
        hidden = frozenset[str]()
        if self._is_anonymous(given):
            hidden = self.named_only
        data: JsonObject = {}
        for name in self.shown:
            if name not in given or name in hidden:
                continue
            value = given[name]
            if name in self.cut:
                value = self.cut[name](value)
            data[name] = value
        return data

    def key(self, envelope: Envelope) -> str:
        """The key by which the outside keeps the order of facts.

        All facts of an anonymous rating have the rating's own id.
        """
        if self._is_anonymous(envelope.data):
            return str(envelope.data["rating_id"])
        return envelope.key

    def _is_anonymous(self, given: Mapping[str, object]) -> bool:
        return bool(self.named_only) and given.get("real_name") is not True

    @cached_property
    def schema(self) -> JsonObject:
        """JSON Schema 2020-12 of the data.

        Receivers ignore members that they do not know; the platform sends no others.
        """
        # Annotations of fields are made by Pydantic and have no type of their own.
        fields: dict[str, Any] = {}
        for name in self.shown:
            info: FieldInfo = self.fact.model_fields[name]
            fields[name] = (info.annotation, info)
        shape = create_model(
            f"{self.entity}-{self.action}", __config__=ConfigDict(extra="forbid"), **fields
        )
        document = cast("JsonObject", shape.model_json_schema(mode="serialization"))
        required = cast("ObjectSchema", document)["required"]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **document,
            "required": [name for name in required if name not in self.named_only],
            "description": self.fact.__doc__ or "",
        }


def _types(
    entity: str,
    actions: Mapping[type[Event], str],
    *,
    classification: Classification = "2",
    named_only: frozenset[str] = frozenset(),
    cut: Mapping[str, Cut] | None = None,
) -> list[ExternalType]:
    """The external types of one entity, given as fact → action."""
    return [
        ExternalType(fact, entity, action, classification, named_only=named_only, cut=cut or {})
        for fact, action in actions.items()
    ]


TABLE: tuple[ExternalType, ...] = (
    *_types(
        "matter",
        {
            matters.MatterPublished: "published",
            matters.MatterSuspended: "suspended",
            matters.MatterCancelled: "cancelled",
        },
        classification="1",
    ),
    *_types("bundle", {matters.BundlePublished: "published"}, classification="1"),
    *_types("supervision", {matters.SupervisionRecorded: "recorded"}),
    *_types(
        "case",
        {
            cases.CaseSubmitted: "submitted",
            cases.CaseReceived: "received",
            cases.CorrectionRequested: "correction-requested",
            cases.CaseAccepted: "accepted",
            cases.CaseNotAccepted: "not-accepted",
            cases.CaseSuspended: "suspended",
            cases.CaseResumed: "resumed",
            cases.CaseExtended: "extended",
            cases.CaseDueChanged: "due-changed",
            cases.CaseDecided: "decided",
            cases.ResultDelivered: "delivered",
            cases.CaseWithdrawn: "withdrawn",
            cases.CaseClosed: "closed",
            cases.CaseImported: "imported",
        },
    ),
    *_types(
        "license",
        {
            licenses.LicenseIssued: "issued",
            licenses.LicenseChanged: "changed",
            licenses.LicenseSuspended: "suspended",
            licenses.LicenseRevoked: "revoked",
            licenses.LicenseExpired: "expired",
        },
        classification="3",
    ),
    *_types(
        "rating",
        {
            ratings.RatingSubmitted: "submitted",
            ratings.RatingSupplemented: "supplemented",
            ratings.RatingExcluded: "excluded",
            ratings.RatingPublished: "published",
            ratings.RatingRerated: "rerated",
        },
        named_only=LEADS_TO_RATER,
    ),
    *_types(
        "bad-rating",
        {ratings.BadRatingOpened: "opened", ratings.BadRatingRectified: "rectified"},
        named_only=LEADS_TO_RATER,
    ),
    *_types(
        "daily-report",
        {assessment.DailyReportPublished: "published"},
        classification="1",
        cut={"figures": assessment.without_ratings},
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


class Document(TypedDict):
    """Members of the CloudEvent but for `sequence`, in the order in which they are sent."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    recordedtime: str
    datacontenttype: str
    dataschema: str
    dataclassification: Classification
    partitionkey: str
    entityversion: str
    recorddigest: str
    canonver: str
    correlationid: str
    data: JsonObject
    causationid: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that lacks only its sequence: its document, and the columns that select it."""

    envelope: Envelope
    type: str
    key: str
    area_code: str
    department_code: str
    matter_code: str | None
    occurred_at: str
    document: Document

    def seal(self, sequence: int) -> bytes:
        """The CloudEvents bytes, the same for every peer, every way and every repetition."""
        return orjson.dumps({**self.document, "sequence": f"{sequence:020d}"})


def digest(data: Mapping[str, object]) -> str:
    """Hex SHA-256 of the canonical data (`CANON`)."""
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()


def draft(envelope: Envelope, city: City) -> Draft:
    """What the outside will see of an internal fact.

    Raises `KeyError` for a fact that stays inside.
    """
    external = BY_FACT[envelope.type]
    given: Mapping[str, object] = envelope.data
    name = external.name(city.name)
    key = external.key(envelope)
    return Draft(
        envelope=envelope,
        type=name,
        key=key,
        # Facts that belong to no county are the city's.
        area_code=str(given.get("area_code") or city.code),
        department_code=str(given.get("department_code") or ""),
        matter_code=_matter_code(external, given),
        occurred_at=str(given["occurred_at"]),
        document=_document(envelope, external, city=city, key=key),
    )


def _document(envelope: Envelope, external: ExternalType, *, city: City, key: str) -> Document:
    name = external.name(city.name)
    data = external.data(envelope.data)
    occurred_at = str(envelope.data["occurred_at"])
    document = Document(
        specversion="1.0",
        id=str(envelope.id),
        source=f"/city/{city.code[:6]}/{external.fact.service}/{external.entity}",
        type=name,
        subject=key,
        time=occurred_at,
        recordedtime=envelope.recorded or occurred_at,
        datacontenttype="application/json",
        dataschema=city.schema_url(name),
        dataclassification=external.classification,
        partitionkey=key,
        entityversion=str(envelope.entity_version),
        recorddigest=digest(data),
        canonver=CANON,
        correlationid=envelope.correlation or str(envelope.id),
        data=data,
    )
    if envelope.causation:
        document["causationid"] = envelope.causation
    return document


def _matter_code(external: ExternalType, given: Mapping[str, object]) -> str | None:
    """The matter's code as its facts and those of its cases carry it, if there is a matter."""
    code = given.get("matter_code")
    if external.entity == "matter":
        code = given.get("code") or given.get("local_code")
    return cast("str | None", code)

"""The effects that cases and batches must have in licences, ratings and exchange.

Each effect is there once, and there is nothing else.
"""

import base64
from collections import Counter, defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

import asyncpg
import orjson

from services.exchange.events.model.external import BY_FACT
from services.exchange.peers.use_cases.receipt_keys import read_signed
from services.exchange.region.use_cases.ledger import ACTS
from services.licenses.model.license import RECORD
from services.licenses.signing import verify
from services.ratings.invitations.model.invitation import ACCEPTANCE_NUMBER, CLOSING_NUMBER
from services.ratings.invitations.model.tokens import case_subject
from services.ratings.statistics.queries import RECOUNT
from shared.events.base import topic_of
from shared.security.crypto import decrypt, use_key
from tests.builders.matters import CITY, DEPARTMENT
from tests.faults.compare import compare, unequal
from tests.faults.partner import TYPES, Partner
from tests.faults.platform import Acknowledged, Platform
from tests.faults.topics import Fact, Topics

GRANTED = "decide"
BAD = 2


async def of_licenses(
    connection: asyncpg.Connection, platform: Platform, topics: Topics
) -> list[str]:
    """One licence per decided case, and one per collected number in its newest version.

    All of them are told to other services, and the signatures are good.
    """
    known = platform.acknowledged
    rows = await connection.fetch("SELECT * FROM license")
    issued = [row for row in rows if row["origin"] == "case"]
    decided = {case: of.number for case, of in known.cases.items() if GRANTED in of.acts}
    facts = {
        str(row["id"]): [
            ("license-issued", 1),
            *(("license-changed", n) for n in range(2, row["revision"] + 1)),
        ]
        for row in rows
    }
    told = {
        key: of
        for key, of in topics.facts[topic_of("licenses")].items()
        if of[0][0] != "records-judged"
    }
    counted = await connection.fetchrow(
        "SELECT coalesce(sum(collected), 0)::int, coalesce(sum(issued), 0)::int,"
        " coalesce(sum(signed), 0)::int FROM ("
        "  SELECT collected, issued, signed FROM license_count UNION ALL"
        "  SELECT collected, issued, signed FROM license_counting) AS counts"
    )
    collected = {row["number"]: row["version"] for row in rows if row["origin"] == "collected"}
    expected = (len(collected), len(issued), sum(row["signed"] for row in rows))
    return [
        *compare(
            "licence of case", _once((str(r["case_id"]), r["case_number"]) for r in issued), decided
        ),
        *compare("version of collected licence", collected, known.collected),
        *unequal("licences", len(rows), len(decided) + len(known.collected)),
        *compare("facts of licence", told, facts),
        *unequal("counted licences", tuple(counted or ()), expected),
        *await _signatures(connection, platform),
    ]


def _once(pairs: Any) -> dict[str, Any]:
    """As a dictionary; what comes more than once is told as a list."""
    found: dict[str, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


async def _signatures(connection: asyncpg.Connection, platform: Platform) -> list[str]:
    """Of every version that was issued here, and the versions are as many as the licences say."""
    keys = {
        row["kid"]: orjson.loads(row["public_key"])
        for row in await connection.fetch("SELECT kid, public_key FROM signing_key")
    }
    versions = await connection.fetch(
        "SELECT l.id, l.origin, l.digest = v.digest AS same, v.record, v.kid, v.signature"
        " FROM license l"
        " JOIN license_version v ON (v.license_id, v.version) = (l.id, l.version)"
    )
    wrong = [str(row["id"]) for row in versions if not row["same"]]
    with use_key(base64.b64decode(platform.folder.key("data"))):
        for row in versions:
            record = decrypt(row["record"], RECORD).encode()
            if row["origin"] == "case" and not verify(
                keys[row["kid"]], record, signature=row["signature"]
            ):
                wrong.append(str(row["id"]))
    missing = await connection.fetchval(
        "SELECT count(*) FROM license l WHERE NOT EXISTS (SELECT FROM license_version v"
        " WHERE (v.license_id, v.version) = (l.id, l.version))"
    )
    return [
        *unequal("licences whose record is not what was signed", wrong, []),
        *unequal("without version", missing, 0),
    ]


async def of_ratings(
    connection: asyncpg.Connection, platform: Platform, topics: Topics
) -> list[str]:
    """The invitations that the cases imply, and one rating of each that was rated.

    Each bad rating has a ticket, and the counters are exact.
    """
    known, code = platform.acknowledged, platform.partner.bureau.code
    expected = {
        (of.number, ACCEPTANCE_NUMBER): case
        for case, of in known.cases.items()
        if "accept" in of.acts
    }
    ends = {"withdraw", "deliver"}
    expected |= {
        (of.number, CLOSING_NUMBER): case for case, of in known.cases.items() if ends & set(of.acts)
    }
    # The bureau's own cases are all closed when they come.
    imported = {
        (f"{code}:{number}", CLOSING_NUMBER) for number in known.pushed if number.startswith("B")
    }
    rows = await connection.fetch("SELECT * FROM invitation")
    invited = _once(((r["case_number"], r["service_number"]), r) for r in rows)
    ratings = await connection.fetch("SELECT * FROM rating")
    given = _once(
        ((r["case_number"], r["service_number"]), (str(r["id"]), r["grade"])) for r in ratings
    )
    tickets = [
        str(row["rating_id"]) for row in await connection.fetch("SELECT rating_id FROM ticket")
    ]
    bad = [rating for rating, grade in known.ratings.values() if grade <= BAD]
    off = await connection.fetch(RECOUNT.replace(":limit", "100"))
    facts = {
        str(r["id"]): _facts_of(known.ratings.get((r["case_number"], r["service_number"])))
        for r in rows
    }
    published = {str(r["invitation_id"]): r["published_on"] is not None for r in ratings}
    told = {
        key: [fact for fact in of if fact[0] != "rating-published" or not published.get(key)]
        for key, of in topics.facts[topic_of("ratings")].items()
    }
    return [
        *compare(
            "invitation", dict.fromkeys(invited, True), dict.fromkeys([*expected, *imported], True)
        ),
        *unequal("invitations", len(rows), len(expected) + len(imported)),
        *unequal("cases of invitations", _strange(invited, expected), []),
        *compare("rating of", given, known.ratings),
        *compare(
            "rated",
            {p: r["rated_at"] is not None for p, r in invited.items()},
            {p: p in given for p in invited},
        ),
        *unequal("tickets", Counter(tickets), Counter(bad)),
        *unequal("counters of ratings that differ from a recount", [dict(row) for row in off], []),
        *compare("facts of rating", told, facts),
    ]


def _strange(invited: dict[Any, Any], expected: dict[tuple[str, int], str]) -> list[Any]:
    """Invitations that name another case, or have not the id that follows from it."""
    return [
        place
        for place, row in invited.items()
        if row["id"] != case_subject(*place)
        or (place in expected and str(row["case_id"]) != expected[place])
    ]


def _facts_of(rating: tuple[str, int] | None) -> list[tuple[str, int]]:
    facts = [("rating-invited", 1)]
    if rating is not None:
        facts.append(("rating-submitted", 2))
        if rating[1] <= BAD:
            facts.append(("bad-rating-opened", 3))
    return facts


async def of_batches(
    connection: asyncpg.Connection, known: Acknowledged, topics: Topics
) -> list[str]:
    """Each acknowledged batch once, a verdict for each row, both receipts as signed."""
    keys = [
        orjson.loads(row["public_key"])
        for row in await connection.fetch("SELECT public_key FROM receipt_key")
    ]
    rejects: dict[Any, list[int]] = defaultdict(list)
    for row in await connection.fetch(
        "SELECT batch_id, row FROM batch_reject ORDER BY batch_id, row"
    ):
        rejects[row["batch_id"]].append(row["row"])
    found: dict[str, Any] = {}
    finals: list[str] = []
    judged: dict[str, list[tuple[str, int]]] = {}
    for row in await connection.fetch("SELECT * FROM batch"):
        verdicts = row["accepted"] + row["unchanged"] + row["rejected"]
        told = read_signed(row["receipt"], keys)
        found[row["number"]] = (
            row["resource"],
            verdicts,
            tuple(rejects[row["id"]]),
            row["receipt"],
            told["number"],
        )
        # Matters counts the chunks of a batch from 2 on.
        first = 2 if row["resource"] == "supervision" else 1
        judged[str(row["id"])] = [
            ("records-judged", n) for n in range(first, first + row["chunks"])
        ]
        final = read_signed(row["final_receipt"], keys)
        sums = (
            final["accepted"],
            final["unchanged"],
            final["rejected"],
            [reject["row"] for reject in final["rejects"]],
        )
        finals += unequal(
            f"final receipt {row['number']}",
            sums,
            (row["accepted"], row["unchanged"], row["rejected"], rejects[row["id"]]),
        )
    expected = {
        number: (one.resource, one.records, one.faulty, one.receipt, number)
        for number, one in known.batches.items()
    }
    answers = {
        key: facts
        for topic in map(topic_of, ("cases", "licenses", "matters"))
        for key, facts in topics.facts[topic].items()
        if facts[0][0] == "records-judged"
    }
    return [
        *compare("batch (resource, verdicts, rejected rows, receipt)", found, expected),
        *finals,
        *compare("verdicts on batch", answers, judged),
    ]


async def of_log(connection: asyncpg.Connection, partner: Partner, topics: Topics) -> list[str]:
    """Each visible fact once, without a gap, in order per key.

    The subscriber has what it asked for, as it stands in the log.
    """
    rows = await connection.fetch(
        "SELECT sequence, event_id, type, key, payload FROM logged_event ORDER BY sequence"
    )
    head = await connection.fetchval("SELECT sequence FROM log_head")
    logged: dict[str, list[str]] = defaultdict(list)
    wanted: dict[str, list[str]] = defaultdict(list)
    payloads: dict[str, bytes] = {}
    for row in rows:
        logged[row["key"]].append(str(row["event_id"]))
        if row["type"] in TYPES:
            wanted[row["key"]].append(str(row["event_id"]))
            payloads[str(row["event_id"])] = row["payload"]
    visible: dict[str, list[str]] = {}
    for topic, keys in topics.order.items():
        for key, events in keys.items():
            if shown := [event for event in events if topics.types[topic][event] in BY_FACT]:
                visible[key] = shown
    subscriber = partner.subscriber
    return [
        *unequal(
            "numbers of the log",
            [row["sequence"] for row in rows] == list(range(1, head + 1)),
            True,
        ),
        *compare("logged events of", logged, visible),
        *compare("events at the subscriber of", dict(subscriber.order), wanted),
        *unequal("bytes at the subscriber as in the log", subscriber.effects == payloads, True),
        *subscriber.broken,
        *unequal("unverified webhooks", subscriber.unverified, 0),
    ]


async def of_ledger(
    connections: dict[str, asyncpg.Connection], known: Acknowledged, topics: Topics
) -> list[str]:
    """What the region must have: each case and rating once, in the newest version that was told."""
    expected: dict[tuple[str, str], int] = {}
    facts = topics.facts[topic_of("cases")]
    for case, of in known.cases.items():
        expected["cases", of.number] = last_place(facts[case], set(ACTS))
    for row in await connections["cases"].fetch(
        "SELECT source_system, source_number, revision FROM imported_case"
    ):
        key = f"{CITY}/{DEPARTMENT}/{row['source_system']}:{row['source_number']}"
        expected["cases", key] = row["revision"]
    for row in await connections["ratings"].fetch("SELECT event_number, payload FROM fact_log"):
        event = orjson.loads(row["payload"])
        if event["type"].split(".")[2] in {"rating-submitted", "rating-excluded"}:
            # Of the ratings of one subject, each has the number of its own last fact.
            key = event["data"]["rating_id"]
            expected["ratings", key] = max(expected.get(("ratings", key), 0), row["event_number"])
    assert len(known.ratings) == sum(resource == "ratings" for resource, _ in expected)
    rows = await connections["exchange"].fetch("SELECT resource, key, version FROM ledger")
    return compare(
        "ledger",
        {(r["resource"], r["key"]): r["version"] for r in rows},
        cast("dict[Any, Any]", expected),
    )


def last_place(facts: Sequence[Fact], wanted: AbstractSet[str]) -> int:
    """The number of the last wanted event of a key among all of its events."""
    return max(place for place, (fact, _) in enumerate(facts, 1) if fact in wanted)


async def at_work(connection: asyncpg.Connection) -> list[str]:
    """What exchange has still to do: verdicts that are out, events not handed over."""
    waiting = {
        "batches": "SELECT count(*) FROM batch WHERE state <> 'finished'",
        "deliveries": "SELECT count(*) FROM delivery WHERE state <> 'delivered'",
        "subscriptions behind": "SELECT count(*) FROM subscription, log_head h"
        " WHERE cursor < h.sequence",
        "rows for the region": "SELECT count(*) FROM ledger WHERE push_state IN ('waiting', 'sent')"
        " AND EXISTS (SELECT FROM peer WHERE kind = 'regional')",
        "pushes": "SELECT count(*) FROM push WHERE state <> 'settled'",
    }
    return [
        f"exchange: {n} {what}"
        for what, query in waiting.items()
        if (n := await connection.fetchval(query))
    ]

"""A day counted again from the services' own tables: the daily report must equal it exactly.

It reads no event and none of assessment's tables, so that a mistake there shows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

import asyncpg
import orjson

from deploy.demo.scenario import Cell
from shared.domain.guides import online_level

# Days are those of the city, whatever the time zone of the server.
CASES = """
WITH step AS (
    SELECT c.area_code, c.department_code, c.immediate, c.overdue, s.act, c.id,
           (s.at AT TIME ZONE 'Asia/Shanghai')::date AS day
    FROM case_file c JOIN case_step s ON s.case_id = c.id),
received AS (
    SELECT area_code, department_code, id, max(day) AS day
    FROM step WHERE act IN ('receive', 'correct') GROUP BY 1, 2, 3),
pushed AS (
    SELECT area_code, department_code,
           (record->>'immediate')::bool AS immediate, (record->>'overdue')::bool AS overdue,
           (record->>'received_on')::date AS received, (record->>'accepted_on')::date AS accepted,
           (record->>'closed_on')::date AS closed
    FROM imported_case),
closed AS (
    SELECT area_code, department_code, immediate, overdue, day FROM step
    WHERE act IN ('deliver', 'refuse_acceptance', 'withdraw', 'return')
    UNION ALL SELECT area_code, department_code, immediate, overdue, closed FROM pushed),
counted (area_code, department_code, measure, day) AS (
    SELECT area_code, department_code, 'cases_submitted', day FROM step WHERE act = 'receive'
    UNION ALL SELECT area_code, department_code, 'cases_received', day FROM received
    UNION ALL SELECT area_code, department_code, 'cases_received', received FROM pushed
    UNION ALL SELECT area_code, department_code, 'cases_accepted', accepted_on FROM case_file
    UNION ALL SELECT area_code, department_code, 'cases_accepted', accepted FROM pushed
    UNION ALL SELECT c.area_code, c.department_code, 'cases_deemed_accepted', c.accepted_on
        FROM case_file c JOIN step s ON s.id = c.id AND s.act = 'deem_accepted'
    UNION ALL SELECT area_code, department_code, 'cases_not_accepted', day
        FROM step WHERE act = 'refuse_acceptance'
    UNION ALL SELECT area_code, department_code, 'cases_decided', day FROM step WHERE act = 'decide'
    UNION ALL SELECT area_code, department_code, 'cases_closed', day FROM closed
    UNION ALL SELECT area_code, department_code, 'cases_closed_immediate', day
        FROM closed WHERE immediate
    UNION ALL SELECT area_code, department_code, 'cases_closed_overdue', day
        FROM closed WHERE overdue
    UNION ALL SELECT area_code, department_code, 'cases_withdrawn', day
        FROM step WHERE act = 'withdraw'
    UNION ALL SELECT area_code, department_code, 'results_delivered', day
        FROM step WHERE act = 'deliver'
    UNION ALL SELECT area_code, department_code, 'lights_' || level,
        (raised_at AT TIME ZONE 'Asia/Shanghai')::date FROM light
    UNION ALL SELECT area_code, department_code, 'lights_cleared',
        (cleared_at AT TIME ZONE 'Asia/Shanghai')::date FROM light)
SELECT area_code, department_code, measure, count(*) AS number
FROM counted WHERE day = $1 GROUP BY 1, 2, 3
"""
PUSHES = """
SELECT detail->>'area' AS area_code, detail->>'department' AS department_code, m.measure,
    sum(m.number)::bigint AS number
FROM audit CROSS JOIN LATERAL
    (VALUES ('pushes_accepted', (detail->'counts'->>'accepted')::int),
            ('pushes_rejected', (detail->'counts'->>'rejected')::int)) AS m (measure, number)
WHERE action = 'cases.push' AND (at AT TIME ZONE 'Asia/Shanghai')::date = $1 AND m.number > 0
GROUP BY 1, 2, 3
"""
PUBLISHED = """
SELECT area_code, department_code, 'matters_published' AS measure, count(*) AS number
FROM matter WHERE state = 'published' AND $1::date IS NOT NULL GROUP BY 1, 2
"""
REWRITTEN = """
SELECT m.area_code, m.department_code, before.document AS before, v.document AS after
FROM matter_version v JOIN matter m ON m.id = v.matter_id CROSS JOIN LATERAL
    (SELECT document FROM matter_version e WHERE e.matter_id = v.matter_id AND e.version < v.version
     AND e.published_at IS NOT NULL ORDER BY e.version DESC LIMIT 1) AS before
WHERE (v.published_at AT TIME ZONE 'Asia/Shanghai')::date = $1
"""


def _depth_changes(rows: Iterable[asyncpg.Record]) -> Counter[Cell]:
    """Matters whose newly published text has another online depth than the one before."""
    found: Counter[Cell] = Counter()
    for row in rows:
        before, after = _depth(row["before"]), _depth(row["after"])
        if after > before:
            found[row["area_code"], row["department_code"], "depth_raised"] += 1
        elif after < before:
            found[row["area_code"], row["department_code"], "depth_lowered"] += 1
    return found


def _depth(document: str) -> int:
    text = orjson.loads(document)
    return online_level(text["stages"], text["visits"])


LICENSES = """
WITH counted (area_code, department_code, measure, day) AS (
    SELECT area_code, department_code,
        CASE origin WHEN 'collected' THEN 'licenses_collected' ELSE 'licenses_issued' END,
        (created_at AT TIME ZONE 'Asia/Shanghai')::date FROM license
    UNION ALL SELECT area_code, department_code, 'licenses_revoked',
        (changed_at AT TIME ZONE 'Asia/Shanghai')::date
        FROM license WHERE status IN ('03', '04', '07')
    UNION ALL SELECT area_code, department_code, 'licenses_used',
        (used_at AT TIME ZONE 'Asia/Shanghai')::date FROM license_use)
SELECT area_code, department_code, measure, count(*) AS number
FROM counted WHERE day = $1 GROUP BY 1, 2, 3
"""
RATINGS = """
WITH counted (area_code, department_code, measure, day) AS (
    SELECT area_code, department_code,
        'ratings_' || (ARRAY['pc','mobile','qr','hall','kiosk','phone','sms'])[pf::int], rated_on
        FROM rating
    UNION ALL SELECT area_code, department_code, 'ratings_bad', rated_on
        FROM rating WHERE grade <= 2
    UNION ALL SELECT area_code, department_code, 'ratings_excluded', excluded_on FROM rating
    UNION ALL SELECT area_code, department_code, 'bad_ratings_opened', opened_on FROM ticket
    UNION ALL SELECT area_code, department_code, 'bad_ratings_called_back', called_back_on
        FROM ticket
    UNION ALL SELECT area_code, department_code, 'bad_ratings_rectified', rectified_on
        FROM ticket)
SELECT area_code, department_code, measure, count(*) AS number
FROM counted WHERE day = $1 GROUP BY 1, 2, 3
UNION ALL SELECT area_code, department_code, 'bad_ratings_open', count(*)
    FROM ticket WHERE rectified_on IS NULL AND state <> 'excluded' AND $1::date IS NOT NULL
    GROUP BY 1, 2
"""
EXCHANGE = """
SELECT area_code, department_code, m.measure, sum(m.number)::bigint AS number
FROM batch CROSS JOIN LATERAL
    (VALUES ('pushes_accepted', accepted), ('pushes_rejected', rejected)) AS m (measure, number)
WHERE (finished_at AT TIME ZONE 'Asia/Shanghai')::date = $1 AND m.number > 0 GROUP BY 1, 2, 3
"""

UPLOADS = """
SELECT r.area_code, r.department_code, m.measure, sum(m.number)::bigint AS number
FROM push p CROSS JOIN peer r CROSS JOIN LATERAL
    (VALUES ('uploads_accepted', p.rows - p.rejected), ('uploads_rejected', p.rejected))
        AS m (measure, number)
WHERE r.kind = 'regional' AND (p.settled_at AT TIME ZONE 'Asia/Shanghai')::date = $1
    AND m.number > 0 GROUP BY 1, 2, 3
"""


STATEMENTS = {
    "cases": (CASES, PUSHES),
    "matters": (PUBLISHED,),
    "licenses": (LICENSES,),
    "ratings": (RATINGS,),
    "exchange": (EXCHANGE, UPLOADS),
}
"""What is asked of each service's database."""


async def recount(databases: Mapping[str, str], day: date) -> Counter[Cell]:
    """Every figure of `day`; published matters are counted as they are now.

    `databases` are the URLs of the services' databases.
    """
    found: Counter[Cell] = Counter()
    for service, statements in STATEMENTS.items():
        connection = await asyncpg.connect(databases[service])
        try:
            for statement in statements:
                for row in await connection.fetch(statement, day):
                    cell = row["area_code"], row["department_code"], row["measure"]
                    found[cell] += row["number"]
            if service == "matters":
                found.update(_depth_changes(await connection.fetch(REWRITTEN, day)))
        finally:
            await connection.close()
    return found

"""Every comparison of `tongban recount`: a figure or copy, and the owners' rows that it comes from.

The owners' side is SQL over the tables in which a service writes what happened, never over events,
counters or a read model. Each statement gives `key` and `value`; days are those of the city.
"""

from dataclasses import dataclass
from typing import Literal

from services.ratings.statistics.model.counts import KEYS, MEASURES
from services.ratings.statistics.queries import CELLS

Kind = Literal["rows", "counts"]
"""`rows`: one value for each key. `counts`: numbers, added up by key; no row means 0."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one service's database says."""

    service: str
    statement: str


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes:
        name: the table that is checked, with its service.
        title: the same for people.
        owners: what must be; the numbers of several owners are added up.
        kept: what a service tells.
        applies: asked of the service that keeps it; the check is skipped where it is false.
    """

    name: str
    title: str
    kind: Kind
    owners: tuple[Side, ...]
    kept: Side
    applies: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether both sides are in one database, which one snapshot compares exactly."""
        return all(owner.service == self.kept.service for owner in self.owners)


# What each case counts for, by the acts of its timeline. A case that is corrected before its
# acceptance is received again, and counts on the last of these days.
_OWN_CASES = """
SELECT c.id, c.area_code, c.department_code, c.immediate, s.submitted_on, s.received_on,
    c.accepted_on, c.deemed, s.not_accepted_on, s.decided_on, s.closed_on,
    s.closed_on IS NOT NULL AND c.overdue AS overdue, s.withdrawn_on, s.delivered_on
FROM case_file c JOIN (
    SELECT case_id,
        min(day) FILTER (WHERE act IN ('receive', 'wait')) AS submitted_on,
        max(day) FILTER (WHERE act = 'receive'
            OR act = 'correct' AND (accepted_at IS NULL OR at < accepted_at)) AS received_on,
        max(day) FILTER (WHERE act = 'refuse_acceptance') AS not_accepted_on,
        max(day) FILTER (WHERE act = 'decide') AS decided_on,
        max(day) FILTER (WHERE act IN ('deliver', 'refuse_acceptance', 'withdraw', 'return'))
            AS closed_on,
        max(day) FILTER (WHERE act = 'withdraw') AS withdrawn_on,
        max(day) FILTER (WHERE act = 'deliver') AS delivered_on
    FROM (SELECT case_id, act, at, (at AT TIME ZONE 'Asia/Shanghai')::date AS day FROM case_step) t
    LEFT JOIN (SELECT case_id, min(at) AS accepted_at FROM case_step
        WHERE act IN ('accept', 'deem_accepted') GROUP BY 1) a USING (case_id)
    GROUP BY case_id
) s ON s.case_id = c.id
"""
_PUSHED_CASES = """
SELECT case_id, area_code, department_code, (record->>'immediate')::bool, NULL::date,
    (record->>'received_on')::date, (record->>'accepted_on')::date, false, NULL::date, NULL::date,
    (record->>'closed_on')::date, (record->>'overdue')::bool, NULL::date, NULL::date
FROM imported_case
"""
_CASES = f"WITH told AS ({_OWN_CASES} UNION ALL {_PUSHED_CASES})"


def _case_records(source: str, key: str) -> str:
    return (
        f"SELECT {key}::text AS key, jsonb_build_array(area_code, department_code, immediate,"
        " submitted_on, received_on, accepted_on, deemed, not_accepted_on, decided_on, closed_on,"
        f" overdue, withdrawn_on, delivered_on)::text AS value FROM {source}"
    )


def _case_counts(source: str) -> str:
    return (
        "SELECT concat_ws('/', m.day, area_code, department_code, m.measure) AS key, 1 AS value"
        f" FROM {source} CROSS JOIN LATERAL (VALUES"
        " ('cases_submitted', submitted_on), ('cases_received', received_on),"
        " ('cases_accepted', accepted_on),"
        " ('cases_deemed_accepted', CASE WHEN deemed THEN accepted_on END),"
        " ('cases_not_accepted', not_accepted_on), ('cases_decided', decided_on),"
        " ('cases_closed', closed_on),"
        " ('cases_closed_immediate', CASE WHEN immediate THEN closed_on END),"
        " ('cases_closed_overdue', CASE WHEN overdue THEN closed_on END),"
        " ('cases_withdrawn', withdrawn_on), ('results_delivered', delivered_on))"
        " AS m (measure, day) WHERE m.day IS NOT NULL"
    )


def _day_counts(*measures: str) -> Side:
    """Assessment's figures whose measures begin with one of these texts."""
    names = ", ".join(f"'{measure}%'" for measure in measures)
    return Side(
        "assessment",
        "SELECT concat_ws('/', day, area_code, department_code, measure) AS key, value"
        f" FROM day_count WHERE measure LIKE ANY (ARRAY[{names}])",
    )


# A light that is raised again is the same row: the audit trail has the days of earlier times.
LIGHTS = """
WITH earlier AS (
    SELECT l.area_code, l.department_code, l.level, a.action,
        (a.at AT TIME ZONE 'Asia/Shanghai')::date AS day
    FROM light l JOIN audit a ON a.object_type = 'light' AND a.object_id = l.id::text
        AND a.at < l.raised_at
    WHERE l.revision > 2
), told AS (
    SELECT area_code, department_code, 'lights_' || level AS measure,
        (raised_at AT TIME ZONE 'Asia/Shanghai')::date AS day FROM light
    UNION ALL SELECT area_code, department_code, 'lights_cleared',
        (cleared_at AT TIME ZONE 'Asia/Shanghai')::date FROM light WHERE cleared_at IS NOT NULL
    UNION ALL SELECT area_code, department_code, 'lights_' || level, day FROM earlier
        WHERE action = 'light.light-raised'
    UNION ALL SELECT area_code, department_code, 'lights_cleared', day FROM earlier
        WHERE action <> 'light.light-raised'
)
SELECT concat_ws('/', day, area_code, department_code, measure) AS key, 1 AS value FROM told
"""
# What came back with a push is counted in its audit row alone.
PUSHES = """
SELECT concat_ws('/', (at AT TIME ZONE 'Asia/Shanghai')::date, detail->>'area',
    detail->>'department', m.measure) AS key, m.number AS value
FROM audit CROSS JOIN LATERAL
    (VALUES ('pushes_accepted', (detail->'counts'->>'accepted')::bigint),
            ('pushes_rejected', (detail->'counts'->>'rejected')::bigint)) AS m (measure, number)
WHERE action = 'cases.push'
"""
BATCHES = """
SELECT concat_ws('/', (finished_at AT TIME ZONE 'Asia/Shanghai')::date, area_code,
    department_code, m.measure) AS key, m.number AS value
FROM batch CROSS JOIN LATERAL
    (VALUES ('pushes_accepted', accepted), ('pushes_rejected', rejected)) AS m (measure, number)
WHERE finished_at IS NOT NULL
"""
UPLOADS = """
SELECT concat_ws('/', (p.settled_at AT TIME ZONE 'Asia/Shanghai')::date, r.area_code,
    r.department_code, m.measure) AS key, m.number AS value
FROM push p CROSS JOIN peer r CROSS JOIN LATERAL
    (VALUES ('uploads_accepted', p.rows - p.rejected), ('uploads_rejected', p.rejected))
        AS m (measure, number)
WHERE r.kind = 'regional' AND p.settled_at IS NOT NULL
"""
# A use by a case has the day of the case's act in its row, and is told on the day it was logged.
LICENSES = """
WITH told AS (
    SELECT area_code, department_code,
        CASE origin WHEN 'collected' THEN 'licenses_collected' ELSE 'licenses_issued' END
            AS measure, created_at AS at FROM license
    UNION ALL SELECT l.area_code, l.department_code, 'licenses_revoked', s.at
        FROM license_step s JOIN license l ON l.id = s.license_id
        WHERE s.act IN ('revoke', 'cancel', 'withdraw')
    UNION ALL SELECT l.area_code, l.department_code, 'licenses_revoked', v.made_at
        FROM license l JOIN license_version v ON v.license_id = l.id AND v.version = l.version
        WHERE l.status IN ('03', '04', '07') AND v.act = 'collect' AND v.previous IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM license_step s WHERE s.license_id = l.id
                AND s.act IN ('revoke', 'cancel', 'withdraw'))
    UNION ALL SELECT u.area_code, u.department_code, 'licenses_used', coalesce(a.at, u.used_at)
        FROM license_use u LEFT JOIN audit a ON a.action = 'license.use'
            AND a.object_id = u.license_id::text AND a.object_type = 'license'
            AND a.detail->>'use' = u.id::text
)
SELECT concat_ws('/', (at AT TIME ZONE 'Asia/Shanghai')::date, area_code, department_code,
    measure) AS key, 1 AS value FROM told
"""
# The row of a signature has no day of its own.
SIGNED = """
SELECT concat_ws('/', l.area_code, l.department_code, 'licenses_signed') AS key, 1 AS value
FROM license_version v JOIN license l ON l.id = v.license_id
WHERE v.act = 'collect' AND v.signature IS NOT NULL
"""
RATINGS = """
WITH round AS (
    SELECT ticket_id, round,
        min(at) FILTER (WHERE act = 'verify') AS verified,
        min(at) FILTER (WHERE act = 'call_back' AND outcome = 'reached') AS reached,
        min(at) FILTER (WHERE act IN ('plan', 'explain')) AS planned,
        min(at) FILTER (WHERE act IN ('complete', 'explain')) AS answered
    FROM ticket_step GROUP BY ticket_id, round
), told (area_code, department_code, measure, day) AS (
    SELECT area_code, department_code,
        'ratings_' || (ARRAY['pc','mobile','qr','hall','kiosk','phone','sms'])[pf::int], rated_on
        FROM rating
    UNION ALL SELECT area_code, department_code, 'ratings_bad', rated_on
        FROM rating WHERE grade <= 2
    UNION ALL SELECT area_code, department_code, 'ratings_excluded', excluded_on
        FROM rating WHERE excluded_on IS NOT NULL
    UNION ALL SELECT area_code, department_code, 'bad_ratings_opened', opened_on FROM ticket
    UNION ALL SELECT t.area_code, t.department_code, 'bad_ratings_opened',
        (SELECT (min(s.at) AT TIME ZONE 'Asia/Shanghai')::date FROM ticket_step s
            WHERE s.ticket_id = t.id AND s.act = 'rerate')
        FROM ticket t WHERE t.round = 2
    UNION ALL SELECT t.area_code, t.department_code, 'bad_ratings_called_back',
        (greatest(r.verified, r.reached) AT TIME ZONE 'Asia/Shanghai')::date
        FROM ticket t JOIN round r ON r.ticket_id = t.id
        WHERE r.verified IS NOT NULL AND r.reached IS NOT NULL
            AND (r.planned IS NULL OR r.reached < r.planned)
    UNION ALL SELECT t.area_code, t.department_code, 'bad_ratings_rectified',
        (r.answered AT TIME ZONE 'Asia/Shanghai')::date
        FROM ticket t JOIN round r ON r.ticket_id = t.id WHERE r.answered IS NOT NULL
)
SELECT concat_ws('/', day, area_code, department_code, measure) AS key, 1 AS value FROM told
"""
ESCALATIONS = """
SELECT concat_ws('/', area_code, department_code, 'bad_ratings_escalated') AS key,
    cardinality(escalated) AS value FROM ticket
"""
_TICKET_IS_OPEN = "t.rectified_on IS NULL AND t.state <> 'excluded'"
# The depth of online handling (网办深度) as `shared.domain.guides.online_level` has it.
DEPTH_CHANGES = """
WITH text AS (
    SELECT m.area_code, m.department_code, v.matter_id, v.version, v.published_at,
        CASE
            WHEN v.document->'stages' ? '5' AND (v.document->>'visits')::int = 0 THEN 4
            WHEN v.document->'stages' ?| ARRAY['3', '4', '5']
                AND (v.document->>'visits')::int <= 1 THEN 3
            WHEN v.document->'stages' ?| ARRAY['2', '3', '4', '5'] THEN 2
            ELSE 1
        END AS level
    FROM matter_version v JOIN matter m ON m.id = v.matter_id WHERE v.published_at IS NOT NULL
), change AS (
    SELECT area_code, department_code, (published_at AT TIME ZONE 'Asia/Shanghai')::date AS day,
        level - lag(level) OVER (PARTITION BY matter_id ORDER BY version) AS change
    FROM text
)
SELECT concat_ws('/', day, area_code, department_code,
    CASE WHEN change > 0 THEN 'depth_raised' ELSE 'depth_lowered' END) AS key, 1 AS value
FROM change WHERE change <> 0
"""
PUBLISHED = """
SELECT concat_ws('/', area_code, department_code, 'matters_published') AS key, 1 AS value
FROM matter WHERE state = 'published'
"""
OPEN_TICKETS = f"""
SELECT concat_ws('/', area_code, department_code, 'bad_ratings_open') AS key, 1 AS value
FROM ticket t WHERE {_TICKET_IS_OPEN}
"""


def _total(measure: str) -> Side:
    """Assessment's figures of one measure over all days."""
    return Side(
        "assessment",
        "SELECT concat_ws('/', area_code, department_code, measure) AS key, value"
        f" FROM day_count WHERE measure = '{measure}'",
    )


def _stock(measure: str) -> Side:
    """A running total of assessment."""
    return Side(
        "assessment",
        "SELECT concat_ws('/', area_code, department_code, measure) AS key, value"
        f" FROM stock_total WHERE measure = '{measure}'",
    )


ASSESSMENT = (
    Check(
        "assessment.case_record",
        "考核:办件记录",
        "rows",
        (Side("cases", f"{_CASES} {_case_records('told', 'id')}"),),
        Side("assessment", _case_records("case_record", "case_id")),
    ),
    Check(
        "assessment.day_count cases",
        "考核日报:办件",
        "counts",
        (Side("cases", f"{_CASES} {_case_counts('told')}"),),
        _day_counts("cases_", "results_"),
    ),
    # Exact at any moment, also of a day whose figures never stand still.
    Check(
        "assessment.day_count case_record",
        "考核日报:办件(按办件记录)",
        "counts",
        (Side("assessment", _case_counts("case_record")),),
        _day_counts("cases_", "results_"),
    ),
    Check(
        "assessment.day_count lights",
        "考核日报:亮灯",
        "counts",
        (Side("cases", LIGHTS),),
        _day_counts("lights_"),
    ),
    Check(
        "assessment.day_count pushes",
        "考核日报:办件推送",
        "counts",
        (Side("cases", PUSHES), Side("exchange", BATCHES)),
        _day_counts("pushes_"),
    ),
    Check(
        "assessment.day_count uploads",
        "考核日报:数据上报",
        "counts",
        (Side("exchange", UPLOADS),),
        _day_counts("uploads_"),
    ),
    Check(
        "assessment.day_count licenses",
        "考核日报:电子证照",
        "counts",
        (Side("licenses", LICENSES),),
        _day_counts("licenses_collected", "licenses_issued", "licenses_revoked", "licenses_used"),
    ),
    Check(
        "assessment.day_count licenses_signed",
        "考核日报:证照签发(全部日期)",
        "counts",
        (Side("licenses", SIGNED),),
        _total("licenses_signed"),
    ),
    Check(
        "assessment.day_count ratings",
        "考核日报:好差评",
        "counts",
        (Side("ratings", RATINGS),),
        _day_counts(
            "ratings_",
            "bad_ratings_opened",
            "bad_ratings_called_back",
            "bad_ratings_rectified",
        ),
    ),
    Check(
        "assessment.day_count bad_ratings_escalated",
        "考核日报:差评督办(全部日期)",
        "counts",
        (Side("ratings", ESCALATIONS),),
        _total("bad_ratings_escalated"),
    ),
    Check(
        "assessment.day_count depth",
        "考核日报:网办深度变化",
        "counts",
        (Side("matters", DEPTH_CHANGES),),
        _day_counts("depth_"),
    ),
    Check(
        "assessment.stock_total matters_published",
        "考核:已发布事项",
        "counts",
        (Side("matters", PUBLISHED),),
        _stock("matters_published"),
    ),
    Check(
        "assessment.stock_total bad_ratings_open",
        "考核:未整改差评",
        "counts",
        (Side("ratings", OPEN_TICKETS),),
        _stock("bad_ratings_open"),
    ),
    Check(
        "assessment.stock_total",
        "考核:存量与每日变化",
        "counts",
        (
            Side(
                "assessment",
                "SELECT concat_ws('/', area_code, department_code, measure) AS key, value"
                " FROM day_count WHERE measure IN ('matters_published', 'bad_ratings_open')",
            ),
        ),
        Side(
            "assessment",
            "SELECT concat_ws('/', area_code, department_code, measure) AS key, value"
            " FROM stock_total",
        ),
    ),
    Check(
        "assessment.matter_record",
        "考核:事项记录",
        "rows",
        (
            Side(
                "matters",
                "SELECT id::text AS key, jsonb_build_array(area_code, department_code,"
                " state = 'published', level)::text AS value"
                " FROM matter WHERE published_version IS NOT NULL",
            ),
        ),
        Side(
            "assessment",
            "SELECT matter_id::text AS key, jsonb_build_array(area_code, department_code,"
            " published, level)::text AS value FROM matter_record",
        ),
    ),
    Check(
        "assessment.rating_record",
        "考核:评价记录",
        "rows",
        (
            Side(
                "ratings",
                "SELECT r.invitation_id::text AS key, jsonb_build_array(r.area_code,"
                f" r.department_code, t.id IS NOT NULL AND {_TICKET_IS_OPEN})::text AS value"
                " FROM rating r LEFT JOIN ticket t ON t.rating_id = r.id",
            ),
        ),
        Side(
            "assessment",
            "SELECT subject_id::text AS key, jsonb_build_array(area_code, department_code,"
            " ticket_open)::text AS value FROM rating_record",
        ),
    ),
)

# Which licenses each case used for which material; the timeline has them only as words.
USES = """
SELECT DISTINCT concat_ws('/', detail->>'license', object_id, detail->>'material') AS key,
    '' AS value
FROM audit WHERE action = 'case.use_license'
"""
_COPIED = (
    "holder_kind, holder, type_code, type_name, status, trust, digest, valid_from, valid_until,"
    " account_id"
)
COPIES = (
    Check(
        "cases.matter_copy",
        "办件:事项副本",
        "rows",
        (
            Side(
                "matters",
                "SELECT m.id::text AS key, concat_ws('/', m.published_version,"
                " m.state = 'published', md5(v.document::text)) AS value"
                " FROM matter m JOIN matter_version v ON v.matter_id = m.id"
                " AND v.version = m.published_version",
            ),
        ),
        Side(
            "cases",
            "SELECT matter_id::text AS key,"
            " concat_ws('/', version, open, md5(document::text)) AS value FROM matter_copy",
        ),
    ),
    Check(
        "cases.bundle_copy",
        "办件:一件事副本",
        "rows",
        (
            Side(
                "matters",
                "SELECT b.id::text AS key, concat_ws('/', b.published_version,"
                " b.state = 'published', md5(v.document::text)) AS value"
                " FROM bundle b JOIN bundle_version v ON v.bundle_id = b.id"
                " AND v.version = b.published_version",
            ),
        ),
        Side(
            "cases",
            "SELECT bundle_id::text AS key,"
            " concat_ws('/', version, open, md5(document::text)) AS value FROM bundle_copy",
        ),
    ),
    # Without the number, which is masked in the copy.
    Check(
        "cases.license_copy",
        "办件:证照副本",
        "rows",
        (
            Side(
                "licenses",
                f"SELECT id::text AS key, jsonb_build_array(revision, {_COPIED})::text AS value"
                " FROM license",
            ),
        ),
        Side(
            "cases",
            f"SELECT license_id::text AS key, jsonb_build_array(revision, {_COPIED})::text"
            " AS value FROM license_copy",
        ),
    ),
    # Cases of bureaus' own systems are left out: whether they invite depends on a setting.
    Check(
        "ratings.invitation",
        "好差评:评价邀请",
        "rows",
        (
            Side(
                "cases",
                "SELECT concat_ws('/', c.number, n.service_number) AS key,"
                " concat_ws('/', c.id, c.area_code, c.department_code, c.matter_id) AS value"
                " FROM case_file c CROSS JOIN LATERAL (VALUES (1, c.accepted_on IS NOT NULL),"
                " (2, c.state IN ('closed', 'not_accepted', 'withdrawn', 'returned')))"
                " AS n (service_number, is_over) WHERE n.is_over",
            ),
        ),
        Side(
            "ratings",
            "SELECT concat_ws('/', case_number, service_number) AS key,"
            " concat_ws('/', case_id, area_code, department_code, matter_id) AS value"
            " FROM invitation WHERE case_id IS NOT NULL AND matter_id IS NOT NULL",
        ),
    ),
    Check(
        "licenses.license",
        "证照:办件所出证照",
        "rows",
        (
            Side(
                "cases",
                "SELECT id::text AS key, concat_ws('/', number, area_code, department_code,"
                " license_type_code) AS value FROM case_file"
                " WHERE decided_by IS NOT NULL AND result = '0'"
                " AND license_type_code IS NOT NULL",
            ),
        ),
        Side(
            "licenses",
            "SELECT case_id::text AS key, concat_ws('/', case_number, area_code, department_code,"
            " type_code) AS value FROM license WHERE case_id IS NOT NULL",
        ),
    ),
    Check(
        "licenses.license_use",
        "证照:办件用证",
        "rows",
        (Side("cases", USES),),
        Side(
            "licenses",
            "SELECT concat_ws('/', license_id, case_id, material_code) AS key, '' AS value"
            " FROM license_use WHERE case_id IS NOT NULL",
        ),
    ),
    Check(
        "ratings.calendar_day",
        "好差评:工作日历副本",
        "rows",
        (Side("cases", "SELECT day::text AS key, is_working::text AS value FROM calendar_day"),),
        Side("ratings", "SELECT day::text AS key, is_working::text AS value FROM calendar_day"),
    ),
)

_LEDGER = (
    "SELECT key, jsonb_build_array(area_code, department_code, record::jsonb->>'task_code',"
    " record::jsonb->>'accept_date', record::jsonb->>'result_state',"
    " record::jsonb->>'is_overdue')::text AS value FROM ledger WHERE resource = 'cases'"
)
EXCHANGE = (
    Check(
        "exchange.ledger cases",
        "交换:办件台账",
        "rows",
        (
            # A child of a bundle that still waits was not received, and is not owed yet.
            Side(
                "cases",
                "SELECT number AS key, jsonb_build_array(area_code, department_code, matter_code,"
                " accepted_on::text, CASE WHEN is_over THEN state END,"
                " CASE WHEN is_over THEN overdue::int::text END)::text AS value FROM (SELECT *,"
                " state IN ('closed', 'not_accepted', 'withdrawn', 'returned') AS is_over"
                " FROM case_file WHERE state <> 'waiting') c"
                " UNION ALL"
                " SELECT concat_ws('/', area_code, department_code,"
                " source_system || ':' || source_number), jsonb_build_array(area_code,"
                " department_code, record->>'matter_code', record->>'accepted_on',"
                " CASE WHEN record->>'closed_on' IS NOT NULL THEN record->>'state' END,"
                " CASE WHEN record->>'closed_on' IS NOT NULL"
                " THEN (record->>'overdue')::bool::int::text END)::text FROM imported_case",
            ),
        ),
        Side("exchange", _LEDGER),
    ),
    Check(
        "exchange.ledger ratings",
        "交换:评价台账",
        "rows",
        (
            Side(
                "ratings",
                "SELECT id::text AS key, jsonb_build_array(area_code, department_code,"
                " grade::text, rated_on::text, (excluded_on IS NULL)::int::text)::text AS value"
                " FROM rating",
            ),
        ),
        Side(
            "exchange",
            "SELECT key, jsonb_build_array(area_code, department_code,"
            " record::jsonb->>'satisfaction', record::jsonb->>'assess_date',"
            " record::jsonb->>'is_effective')::text AS value"
            " FROM ledger WHERE resource = 'ratings'",
        ),
    ),
    *(
        Check(
            f"exchange.logged_event {fact}",
            title,
            "rows",
            (Side(owner, statement),),
            # Each exactly once. Old events are pruned, and then there is nothing to compare.
            Side(
                "exchange",
                f"SELECT key, '' AS value FROM logged_event WHERE type LIKE 'cn.gov.%.{fact}.v%'",
            ),
            applies="SELECT pruned = 0 FROM log_head",
        )
        for fact, title, owner, statement in (
            (
                "cases.case.submitted",
                "交换:事件日志(申请)",
                "cases",
                "SELECT id::text AS key, '' AS value FROM case_file",
            ),
            (
                "licenses.license.issued",
                "交换:事件日志(证照)",
                "licenses",
                "SELECT id::text AS key, '' AS value FROM license",
            ),
            (
                "matters.matter.published",
                "交换:事件日志(事项版本)",
                "matters",
                (
                    "SELECT matter_id::text AS key, '' AS value FROM matter_version"
                    " WHERE published_at IS NOT NULL"
                ),
            ),
        )
    ),
    Check(
        "exchange.batch",
        "交换:批次退回记录数",
        "counts",
        (Side("exchange", "SELECT batch_id::text AS key, 1 AS value FROM batch_reject"),),
        Side("exchange", "SELECT id::text AS key, rejected AS value FROM batch"),
    ),
    Check(
        "exchange.record_count",
        "交换:数据统计",
        "counts",
        (
            Side(
                "exchange",
                "SELECT concat_ws('/', peer_code, resource, m.measure) AS key, m.number AS value"
                " FROM batch CROSS JOIN LATERAL (VALUES ('received', records),"
                " ('accepted', accepted), ('unchanged', unchanged), ('rejected', rejected))"
                " AS m (measure, number)"
                " UNION ALL"
                " SELECT concat_ws('/', r.code, p.resource, m.measure), m.number"
                " FROM push p CROSS JOIN peer r CROSS JOIN LATERAL"
                " (VALUES ('pushed', p.rows - p.rejected), ('push_rejected', p.rejected))"
                " AS m (measure, number)"
                " WHERE r.kind = 'regional' AND p.settled_at IS NOT NULL",
            ),
        ),
        Side(
            "exchange",
            "SELECT concat_ws('/', peer_code, resource, measure) AS key, value FROM record_count"
            " WHERE strpos(measure, ':') = 0",
        ),
    ),
)


def _license_count(source: str) -> str:
    return (
        "SELECT concat_ws('/', area_code, department_code, type_code, m.measure) AS key,"
        f" m.number AS value FROM {source} CROSS JOIN LATERAL (VALUES ('collected', collected),"
        " ('issued', issued), ('signed', signed), ('uses', uses)) AS m (measure, number)"
    )


def _rating_count(source: str) -> str:
    keys = ", ".join(KEYS)
    numbers = ", ".join(f"('{measure}', {measure})" for measure in MEASURES)
    return (
        f"SELECT concat_ws('/', {keys}, m.measure) AS key, m.number AS value"
        f" FROM {source} CROSS JOIN LATERAL (VALUES {numbers}) AS m (measure, number)"
    )


COUNTERS = (
    Check(
        "ratings.rating_count",
        "好差评:统计",
        "counts",
        (Side("ratings", _rating_count(f"({CELLS}) c")),),
        Side("ratings", _rating_count("rating_count")),
    ),
    Check(
        "licenses.license_count",
        "证照:统计",
        "counts",
        (
            Side(
                "licenses",
                "SELECT concat_ws('/', area_code, department_code, type_code, m.measure) AS key,"
                " m.number AS value FROM license CROSS JOIN LATERAL"
                " (VALUES ('collected', (origin = 'collected')::int),"
                " ('issued', (origin <> 'collected')::int), ('signed', signed::int))"
                " AS m (measure, number)"
                " UNION ALL"
                " SELECT concat_ws('/', u.area_code, u.department_code, l.type_code, 'uses'), 1"
                " FROM license_use u JOIN license l ON l.id = u.license_id",
            ),
        ),
        # Rows that the timer has not added to the sums yet count as well.
        Side(
            "licenses",
            _license_count("license_count") + " UNION ALL " + _license_count("license_counting"),
        ),
    ),
    Check(
        "matters.supervision_count",
        "事项:监管行为统计",
        "counts",
        (
            Side(
                "matters",
                "SELECT concat_ws('/', area_code, department_code, behaviour) AS key, 1 AS value"
                " FROM supervision_record",
            ),
        ),
        Side(
            "matters",
            "SELECT concat_ws('/', area_code, department_code, behaviour) AS key,"
            " records AS value FROM supervision_count",
        ),
    ),
)
CHECKS = (*ASSESSMENT, *COPIES, *EXCHANGE, *COUNTERS)

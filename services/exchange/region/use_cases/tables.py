"""The table form of the regional platform.

One record of the ledger is a row in each of the tables that has columns of it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from services.exchange.region.model.ledger import LedgerResource
from services.exchange.region.queries.ledger import WaitingRow
from shared.domain.recon import Value

COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cases": {
        "up_pro_accept": (
            "project_name",
            "task_code",
            "task_type",
            "project_type",
            "applyer_type",
            "apply_type",
            "area_code",
            "org_code",
            "receive_date",
            "accept_date",
            "promise_date",
        ),
        "up_pro_process": ("event_name", "event_time"),
        "up_pro_result": (
            "result_date",
            "result_type",
            "result_state",
            "decide_date",
            "is_overdue",
            "delivery_type",
            "delivery_date",
        ),
    },
    "ratings": {
        "up_pro_evaluate": (
            "project_no",
            "service_number",
            "task_code",
            "area_code",
            "org_code",
            "satisfaction",
            "eval_detail",
            "writing_evaluation",
            "pf",
            "assess_date",
            "is_effective",
        )
    },
}
"""Table → columns, beside the key and the control columns.

Of every record there is a row in the first table.
"""
KEY: Mapping[str, str] = {"cases": "project_no", "ratings": "rating_no"}
TableRow = dict[str, Value]


def table_form(
    resource: LedgerResource,
    rows: Sequence[WaitingRow],
    *,
    push_id: UUID,
    data_source: str,
    now: datetime,
) -> dict[str, list[TableRow]]:
    """Rows of the ledger as rows of the region's tables, with the control columns."""
    tables = COLUMNS[resource]
    first_table = next(iter(tables))
    form: dict[str, list[TableRow]] = {table: [] for table in tables}
    for row in rows:
        record: dict[str, Value] = orjson.loads(row.record)
        for table, columns in tables.items():
            values = {column: record[column] for column in columns if column in record}
            if not values and table != first_table:
                continue
            table_row: TableRow = {
                "row_guid": _row_guid(table, row),
                "cd_batch": str(push_id),
                "cd_operation": row.op,
                "cd_time": now.isoformat(),
                "data_source": data_source,
                "version": row.version,
                KEY[resource]: row.key,
            }
            form[table].append(table_row | values)
    return form


def _row_guid(table: str, row: WaitingRow) -> str:
    """The same for every version of a row, so that the region overwrites it."""
    return str(uuid5(NAMESPACE_URL, f"{table}/{row.key}"))

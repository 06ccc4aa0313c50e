"""The table form of the regional platform: one record of the ledger is a row in each of the tables that has columns of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from shared.domain.recon import Value

COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cases": {
        "up_pro_accept": (
            *(
                "project_name",
                "task_code",
                "task_type",
                "project_type",
                "applyer_type",
                "apply_type",
                "area_code",
            ),
            *("org_code", "receive_date", "accept_date", "promise_date"),
        ),
        "up_pro_process": ("event_name", "event_time"),
        "up_pro_result": (
            *(
                "result_date",
                "result_type",
                "result_state",
                "decide_date",
                "is_overdue",
                "delivery_type",
            ),
            "delivery_date",
        ),
    },
    "ratings": {
        "up_pro_evaluate": (
            *(
                "project_no",
                "service_number",
                "task_code",
                "area_code",
                "org_code",
                "satisfaction",
                "eval_detail",
            ),
            *("writing_evaluation", "pf", "assess_date", "is_effective"),
        )
    },
}
"""Table → columns, beside the key and the control columns. The first table has a row of every record."""
KEY = {"cases": "project_no", "ratings": "rating_no"}


def table_form(
    resource: str, rows: Sequence[Any], push_id: UUID, data_source: str, now: datetime
) -> dict[str, list[dict[str, Value]]]:
    """Rows of the ledger (`key, version, op, record`) as rows of the region's tables, with the control columns."""
    key_column, tables = KEY[resource], COLUMNS[resource]
    form: dict[str, list[dict[str, Value]]] = {table: [] for table in tables}
    for row in rows:
        record: dict[str, Value] = orjson.loads(row.record)
        for place, (table, columns) in enumerate(tables.items()):
            values = {column: record[column] for column in columns if column in record}
            if values or place == 0:
                form[table].append(
                    {
                        "row_guid": str(uuid5(NAMESPACE_URL, f"{table}/{row.key}")),
                        "cd_batch": str(push_id),
                        "cd_operation": row.op,
                        "cd_time": now.isoformat(),
                        "data_source": data_source,
                        "version": row.version,
                        key_column: row.key,
                        **values,
                    }
                )
    return form

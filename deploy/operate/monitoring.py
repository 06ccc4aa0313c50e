"""Files for monitoring and for the person on call, made from the list of symptoms.

Prometheus rules and a configuration, a Grafana dashboard, and the index of the runbook
(`make docs`).
"""

from pathlib import Path

import orjson
import yaml

from deploy.operate.symptoms import SYMPTOMS, Symptom
from deploy.processes import processes

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy/monitoring"
PAGES = ROOT / "docs/operations"
INDEX = PAGES / "README.md"
GENERATED = "# Generated from deploy/operate/symptoms.py by `make docs`.\n"

QUANTILE = (
    "histogram_quantile(0.99,"
    " sum by (service, le) (rate(tongban_gateway_request_seconds_bucket[5m])))"
)
PANELS = (
    (
        "请求每秒 requests a second",
        "sum by (service) (rate(tongban_gateway_request_seconds_count[5m]))",
        "reqps",
    ),
    (
        "失败的请求 failed requests",
        'sum by (status) (rate(tongban_gateway_request_seconds_count{status=~"5.."}[5m]))',
        "reqps",
    ),
    (
        "九成九请求的时间 99 % of requests within",
        QUANTILE,
        "s",
    ),
    ("待发事实的最大时龄 outbox age", "max by (service) (tongban_outbox_age_seconds)", "s"),
    ("待发事实 outbox", "max by (service) (tongban_outbox_waiting)", "short"),
    ("积压时龄 consumer lag", "max by (service, topic) (tongban_consumer_lag_seconds)", "s"),
    ("积压事实 consumer lag", "max by (service, topic) (tongban_consumer_lag_facts)", "short"),
    ("死信 dead letters", "max by (service) (tongban_dead_letters)", "short"),
    (
        "事件每秒 events taken",
        "sum by (service) (rate(tongban_events_consumed_total[5m]))",
        "short",
    ),
    (
        "连接池 connections",
        "max by (service) (tongban_pool_connections_in_use / tongban_pool_connections_limit)",
        "percentunit",
    ),
    ("时钟偏差 clock skew", "max by (service) (abs(tongban_clock_skew_seconds))", "s"),
    (
        "材料磁盘剩余 disk left",
        "min by (disk) (tongban_storage_free_bytes / tongban_storage_size_bytes)",
        "percentunit",
    ),
    (
        "证书剩余 certificates end in",
        "min by (setting) (tongban_certificate_expiry_timestamp_seconds) - time()",
        "s",
    ),
    ("内存 memory", 'process_resident_memory_bytes{job="tongban"}', "bytes"),
)
"""Title, expression and unit of each panel of the dashboard."""


def rules() -> bytes:
    """Prometheus alert rules."""
    listed: list[dict[str, object]] = []
    for symptom in SYMPTOMS:
        listed.append(
            {
                "alert": symptom.name,
                "expr": symptom.expression,
                "for": symptom.lasting,
                "labels": {"severity": symptom.severity},
                "annotations": {
                    "summary": f"{symptom.zh} / {symptom.en}",
                    "runbook": symptom.entry,
                },
            }
        )
    document = {"groups": [{"name": "tongban", "rules": listed}]}
    text = yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)
    return (GENERATED + text).encode()


def configuration() -> bytes:
    """Prometheus scraping the processes under their names, as compose gives them."""
    targets: list[str] = []
    for process in processes():
        targets.append(f"{process.name}:{process.operator_port}")
    document = {
        # A measurement takes up to four seconds while the database or the broker is away.
        "global": {"scrape_interval": "15s", "scrape_timeout": "10s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "tongban", "static_configs": [{"targets": targets}]}],
    }
    return (GENERATED + yaml.safe_dump(document, sort_keys=False)).encode()


def dashboard() -> bytes:
    """A Grafana dashboard: the figures that the alerts watch."""
    panels: list[dict[str, object]] = []
    for number, (title, expression, unit) in enumerate(PANELS):
        panels.append(
            {
                "id": number + 1,
                "title": title,
                "type": "timeseries",
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "gridPos": {"x": number % 3 * 8, "y": number // 3 * 8, "w": 8, "h": 8},
                "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                "targets": [{"refId": "A", "expr": expression}],
            }
        )
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    document = {
        "title": "通办 Tongban",
        "uid": "tongban",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document, option=options)


def _line(symptom: Symptom) -> str:
    link = f"{symptom.page}.md#{symptom.name.lower()}"
    return f"| [{symptom.name}]({link}) | {symptom.severity} | {symptom.zh} | {symptom.en} |\n"


def index() -> bytes:
    """The index of the runbook."""
    parts = [
        "# Runbook by symptom\n\n",
        "Generated from `deploy/operate/symptoms.py` by `make docs`, as the alerts are. ",
        "`tongban status` names the same symptoms and entries.\n\n",
        "| Symptom | Severity | 现象 | What is seen |\n|---|---|---|---|\n",
    ]
    parts += map(_line, SYMPTOMS)
    parts.append("\nPages: ")
    names = sorted(path.stem for path in PAGES.glob("*.md") if path != INDEX)
    parts.append(", ".join(f"[{name}]({name}.md)" for name in names))
    parts.append(".\n")
    return "".join(parts).encode()


def files() -> dict[Path, bytes]:
    """Every file with its content."""
    return {
        FOLDER / "alerts.yml": rules(),
        FOLDER / "prometheus.yml": configuration(),
        FOLDER / "dashboard.json": dashboard(),
        INDEX: index(),
    }

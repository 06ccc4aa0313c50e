"""Alerts, dashboard, runbook and settings reference: one list, and all of it true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from deploy.operate import monitoring
from deploy.operate.symptoms import BY_NAME, SYMPTOMS, Symptom
from deploy.settings_reference import reference, undocumented
from gateway import metrics, request_log
from tests.builders.monitoring import promtool
from tests.conftest import ClientFactory

ELSEWHERE = {
    # Written by `tongban backup` and `tongban drill` for the textfile collector.
    "tongban_backup_last_success_timestamp_seconds",
    "tongban_drill_last_success_timestamp_seconds",
    # Set by workers about their topic.
    "tongban_topic_replicas_missing",
    "tongban_topic_partitions_below_minimum",
    "tongban_topic_minimum_too_low",
}
LOADED = (request_log, metrics)
HEALTHY = [
    ('up{job="tongban"}', "1x90"),
    ('tongban_ready{service="cases",check="database"}', "1x90"),
    ('tongban_outbox_age_seconds{service="cases"}', "2x90"),
    ('tongban_consumer_lag_seconds{service="ratings",topic="tongban.cases"}', "3x90"),
    ('tongban_dead_letters{service="cases"}', "0x90"),
    ('tongban_dead_letters_given_up{service="cases"}', "0x90"),
    ('tongban_clock_skew_seconds{service="cases"}', "0.3x90"),
    ('tongban_key_info{service="cases",instance="a",key="data",check="1"}', "1x90"),
    ('tongban_key_info{service="ratings",instance="b",key="data",check="2"}', "1x90"),
    ('tongban_key_info{service="cases",instance="a",key="platform",check="3"}', "1x90"),
    ('tongban_key_info{service="ratings",instance="b",key="platform",check="3"}', "1x90"),
    ('tongban_storage_free_bytes{service="cases",disk="uploads"}', "50x90"),
    ('tongban_storage_size_bytes{service="cases",disk="uploads"}', "100x90"),
    ('tongban_storage_full{service="cases",disk="uploads"}', "0x90"),
    ("tongban_log_lines_dropped_total", "7x90"),
    (
        'tongban_certificate_expiry_timestamp_seconds{service="ratings",setting="X"}',
        "9000000x90",
    ),
    ('tongban_pool_connections_in_use{service="ratings"}', "3x90"),
    ('tongban_pool_connections_limit{service="ratings"}', "10x90"),
    ('tongban_pool_connections_limit{service="cases"}', "10x90"),
    ('tongban_gateway_request_seconds_count{service="cases",status="200"}', "0+100x90"),
    ('tongban_gateway_request_seconds_bucket{service="cases",status="200",le="0.5"}', "0+100x90"),
    ('tongban_gateway_request_seconds_bucket{service="cases",status="200",le="2.5"}', "0+100x90"),
    ('tongban_gateway_request_seconds_bucket{service="cases",status="200",le="+Inf"}', "0+100x90"),
    ('tongban_build_info{version="0.0.2",python="3"}', "1x90"),
    ("tongban_backup_last_success_timestamp_seconds", "0x90"),
    ("tongban_drill_last_success_timestamp_seconds", "0x90"),
]
"""Series of a platform that is well, a minute each."""
REPLACED = {
    "RequestsSlow": (
        'tongban_gateway_request_seconds_bucket{service="cases",status="200",le="0.5"}',
    ),
    "BackupUnknown": ("tongban_backup_last_success_timestamp_seconds",),
}
"""Healthy series that are not there while the symptom is."""


def a_test(series: list[tuple[str, str]], expected: Symptom | None) -> dict[str, Any]:
    """A group of promtool: 80 minutes, after which `expected` fires, or nothing does."""
    group: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [],
    }
    wanted: list[dict[str, Any]] = []
    if expected is not None:
        wanted = [{"labels": f'ALERTS{{alertname="{expected.name}"}}', "value": 1}]
    names = f'alertname="{expected.name}"' if expected else 'alertname=~".+"'
    group["promql_expr_test"] = [
        {
            "expr": f'min by (__name__, alertname) (ALERTS{{alertstate="firing",{names}}})',
            "eval_time": f"{_eval_minutes(expected)}m",
            "exp_samples": wanted,
        }
    ]
    return group


def _eval_minutes(symptom: Symptom | None) -> int:
    """Before the series of the sick part end, and after the alert has lasted."""
    if symptom is None:
        return 80
    length = int(symptom.sick[1].rpartition("x")[2])
    return min(length, 80)


def played(symptom: Symptom) -> list[tuple[str, str]]:
    name = symptom.sick[0]
    absent = {name, *REPLACED.get(symptom.name, ())}
    return [*(one for one in HEALTHY if one[0] not in absent), symptom.sick]


def test_each_alert_fires_when_its_part_is_sick_and_none_when_all_is_well(tmp_path: Path) -> None:
    groups = [a_test(HEALTHY, None)]
    groups += [a_test(played(symptom), symptom) for symptom in SYMPTOMS]
    document = {"rule_files": [str(monitoring.FOLDER / "alerts.yml")], "tests": groups}
    file = tmp_path / "test.yml"
    _ = file.write_text(yaml.safe_dump(document, width=1000))

    status, told = promtool("test", "rules", str(file))

    assert status == 0, told


def test_rules_and_configuration_are_valid() -> None:
    for kind, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        status, told = promtool("check", kind, str(monitoring.FOLDER / name))
        assert status == 0, told


async def test_metrics_follow_the_conventions_of_prometheus(client_of: ClientFactory) -> None:
    client = await client_of("cases")

    exposed = (await client.get("/metrics")).text
    status, told = promtool("check", "metrics", given=exposed)

    assert "tongban_outbox_age_seconds{" in exposed
    assert 'tongban_build_info{python="3' in exposed
    ours = [line for line in told.splitlines() if line.startswith("tongban")]
    assert (status, ours) == (0, []), told


def test_every_metric_of_the_alerts_and_the_dashboard_exists() -> None:
    assert LOADED
    known = set(ELSEWHERE)
    for family in REGISTRY.collect():
        suffixes = ("", "_total", "_info", "_count", "_bucket", "_sum")
        known |= {family.name + suffix for suffix in suffixes}
    asked = [symptom.expression for symptom in SYMPTOMS]
    asked += [expression for _, expression, _ in monitoring.PANELS]

    names = {name for text in asked for name in re.findall(r"tongban_\w+", text)}

    assert names - known == set()


def test_every_symptom_has_its_entry_and_every_entry_its_symptom() -> None:
    entries: dict[str, str] = {}
    for page in monitoring.PAGES.glob("*.md"):
        for name in re.findall(r"^## ([A-Z][a-z]+[A-Z]\w*)$", page.read_text(), re.MULTILINE):
            entries[name] = page.stem

    assert entries == {symptom.name: symptom.page for symptom in SYMPTOMS}
    assert len(BY_NAME) == len(SYMPTOMS)


@pytest.mark.parametrize("page", sorted(monitoring.PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_links_of_the_runbook_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings
            }
            assert anchor in anchors, target


def test_every_setting_says_what_it_means() -> None:
    assert undocumented() == []
    page = reference()
    for name in ("GATEWAY_OPERATOR_PORT", "CASES_STORAGE_URL", "<SERVICE>_DATA_KEY"):
        assert f"| `{name}` |" in page

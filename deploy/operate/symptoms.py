"""The list of what can be sick: from it come alerts, dashboard and the index of the runbook.

`make docs` writes these files (`deploy/operate/monitoring.py`). `tongban status` judges by the same
limits and names the same symptoms. The runbook entry of a symptom is the heading with its name in
its page below `docs/operations/`; a test holds them together.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]

OUTBOX_SECONDS = 60
"""Age of a fact from which its outbox counts as stuck."""
LAG_SECONDS = 300
"""Age of a fact that was not taken from which its consumer counts as behind."""
SKEW_SECONDS = 5
"""As much as tokens allow (`shared.security.tokens.LEEWAY`)."""
DISK_RED = 0.05
DISK_YELLOW = 0.15
"""Shares of a disk that are left."""
CERTIFICATE_RED = 3
CERTIFICATE_YELLOW = 21
"""Days until a certificate ends."""
BACKUP_SECONDS = 26 * 3600
"""A day, and two hours for the backup itself."""
DRILL_DAYS = 35
"""A month, and a few days."""
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that can be sick.

    Args:
        expression: PromQL; true while it is sick.
        lasting: how long before it alerts.
        page: the page below `docs/operations/` without its ending.
        sick: a series that shows it, in promtool's form, with which the tests play it.
    """

    name: str
    severity: Severity
    zh: str
    en: str
    expression: str
    lasting: str
    page: str
    sick: tuple[str, str]

    @property
    def entry(self) -> str:
        """The runbook entry, from the root of the project."""
        return f"docs/operations/{self.page}.md#{self.name.lower()}"


SYMPTOMS = (
    Symptom(
        "ProcessDown",
        "critical",
        "进程没有应答",
        "a process does not answer",
        'up{job="tongban"} == 0',
        "1m",
        "stopped-process",
        ('up{job="tongban",instance="cases-api:8103"}', "0x10"),
    ),
    Symptom(
        "NotReady",
        "critical",
        "进程还不能服务",
        "a process is not ready",
        'min by (service, check) (tongban_ready{check!~"database|bus|migrations|facts|key"}) == 0',
        "2m",
        "stopped-process",
        ('tongban_ready{service="gateway",check="revocations"}', "0x10"),
    ),
    Symptom(
        "DatabaseAway",
        "critical",
        "数据库不可用",
        "the database is away",
        'min by (service) (tongban_ready{check="database"}) == 0',
        "1m",
        "lost-database",
        ('tongban_ready{service="cases",check="database"}', "0x10"),
    ),
    Symptom(
        "BrokerAway",
        "critical",
        "消息代理不可用",
        "the broker is away",
        'min by (service) (tongban_ready{check="bus"}) == 0',
        "1m",
        "lost-broker",
        ('tongban_ready{service="cases",check="bus"}', "0x10"),
    ),
    Symptom(
        "CopiesBelowMinimum",
        "critical",
        "主题的同步副本数低于下限,不能发布",
        "topics have fewer copies in step than a write needs",
        "max by (topic) (tongban_topic_partitions_below_minimum) > 0"
        " or max by (topic) (tongban_topic_minimum_too_low) > 0",
        "1m",
        "lost-broker",
        ('tongban_topic_partitions_below_minimum{topic="tongban.cases"}', "1x10"),
    ),
    Symptom(
        "CopiesMissing",
        "warning",
        "主题缺少副本",
        "copies of topics are not there or not in step",
        "max by (topic) (tongban_topic_replicas_missing) > 0",
        "5m",
        "lost-broker",
        ('tongban_topic_replicas_missing{topic="tongban.cases"}', "1x10"),
    ),
    Symptom(
        "FactsMissing",
        "critical",
        "主题缺少已发布的事实",
        "a consumer waits for facts that its topic lacks",
        "max by (service, topic) (tongban_facts_missing) == 1",
        "2m",
        "lost-broker",
        ('tongban_facts_missing{service="exchange",topic="tongban.cases",partition="3"}', "1x10"),
    ),
    Symptom(
        "SchemaBehind",
        "critical",
        "数据库结构与程序不符",
        "the database's schema does not fit the code",
        'min by (service) (tongban_ready{check="migrations"}) == 0'
        ' unless min by (service) (tongban_ready{check="database"}) == 0',
        "5m",
        "upgrade",
        ('tongban_ready{service="cases",check="migrations"}', "0x10"),
    ),
    Symptom(
        "RelayRefused",
        "critical",
        "数据库早于其主题,停止发布",
        "a database is older than its topic, so nothing is published",
        'min by (service) (tongban_ready{check="facts"}) == 0'
        ' unless min by (service) (tongban_ready{check=~"database|migrations"}) == 0',
        "1m",
        "restore",
        ('tongban_ready{service="cases",check="facts"}', "0x10"),
    ),
    Symptom(
        "OutboxStuck",
        "critical",
        "待发布的事实没有发出",
        "facts wait and are not published",
        f"max by (service) (tongban_outbox_age_seconds) > {OUTBOX_SECONDS}",
        "1m",
        "stuck-outbox",
        ('tongban_outbox_age_seconds{service="cases"}', "61x10"),
    ),
    Symptom(
        "ConsumerLag",
        "critical",
        "事件积压",
        "a consumer is behind",
        f"max by (service, topic) (tongban_consumer_lag_seconds) > {LAG_SECONDS}",
        "2m",
        "scaling",
        ('tongban_consumer_lag_seconds{service="ratings",topic="tongban.cases"}', "301x10"),
    ),
    Symptom(
        "DeadLetters",
        "critical",
        "有事件等待人工处理",
        "events were set aside and wait for a person",
        "max by (service) (tongban_dead_letters_given_up) > 0",
        "1m",
        "dead-letters",
        ('tongban_dead_letters_given_up{service="assessment"}', "1x10"),
    ),
    Symptom(
        "DeadLettersRetried",
        "warning",
        "有事件处理失败,正在重试",
        "events were set aside and are tried again",
        "max by (service) (tongban_dead_letters) > 0",
        "5m",
        "dead-letters",
        ('tongban_dead_letters{service="assessment"}', "1x10"),
    ),
    Symptom(
        "ClockSkewed",
        "critical",
        "时钟偏差超过五秒",
        "a clock is wrong by more than five seconds",
        f"max by (instance, service) (abs(tongban_clock_skew_seconds)) > {SKEW_SECONDS}",
        "1m",
        "skewed-clock",
        ('tongban_clock_skew_seconds{service="cases"}', "-6x10"),
    ),
    Symptom(
        "WrongKey",
        "critical",
        "密钥不符",
        "a key is not the one that the data were written under",
        'min by (service) (tongban_ready{check="key"}) == 0'
        ' or count by (key) (count by (key, check) (tongban_key_info{key="platform"})) > 1'
        " or count by (service, key)"
        ' (count by (service, key, check) (tongban_key_info{key="data"})) > 1',
        "1m",
        "wrong-key",
        ('tongban_ready{service="cases",check="key"}', "0x10"),
    ),
    Symptom(
        "UploadsRefused",
        "critical",
        "材料存储已满,上传被拒绝",
        "uploads are refused because their disk is full",
        "max by (service, disk) (tongban_storage_full) == 1",
        "0s",
        "full-disk",
        ('tongban_storage_full{service="cases",disk="uploads"}', "1x10"),
    ),
    Symptom(
        "DiskFull",
        "critical",
        "磁盘剩余不足百分之五",
        "a disk has less than 5 % left",
        "min by (service, disk) (tongban_storage_free_bytes / tongban_storage_size_bytes)"
        f" < {DISK_RED}",
        "1m",
        "full-disk",
        ('tongban_storage_free_bytes{service="cases",disk="uploads"}', "4x10"),
    ),
    Symptom(
        "DiskFilling",
        "warning",
        "磁盘剩余不足百分之十五",
        "a disk has less than 15 % left",
        "min by (service, disk) (tongban_storage_free_bytes / tongban_storage_size_bytes)"
        f" < {DISK_YELLOW}",
        "10m",
        "full-disk",
        ('tongban_storage_free_bytes{service="cases",disk="uploads"}', "14x20"),
    ),
    Symptom(
        "LogLinesLost",
        "warning",
        "请求日志有缺失",
        "lines of the request log were dropped",
        "increase(tongban_log_lines_dropped_total[10m]) > 0",
        "0s",
        "full-disk",
        ("tongban_log_lines_dropped_total", "0+1x20"),
    ),
    Symptom(
        "CertificateEnded",
        "critical",
        "证书已过期或三天内过期",
        "a certificate has ended, or will within three days",
        "min by (setting) (tongban_certificate_expiry_timestamp_seconds) - time()"
        f" < {CERTIFICATE_RED * DAY}",
        "1m",
        "certificates",
        (
            'tongban_certificate_expiry_timestamp_seconds{service="ratings",setting="PUBLIC_URL"}',
            "0x10",
        ),
    ),
    Symptom(
        "CertificateEnding",
        "warning",
        "证书将在二十一天内过期",
        "a certificate ends within 21 days",
        "min by (setting) (tongban_certificate_expiry_timestamp_seconds) - time()"
        f" < {CERTIFICATE_YELLOW * DAY}",
        "1h",
        "certificates",
        (
            'tongban_certificate_expiry_timestamp_seconds{service="ratings",setting="PUBLIC_URL"}',
            "1000000x90",
        ),
    ),
    Symptom(
        "PoolFull",
        "warning",
        "数据库连接池已用尽",
        "all database connections of a process are in use",
        "tongban_pool_connections_in_use >= tongban_pool_connections_limit",
        "5m",
        "capacity",
        ('tongban_pool_connections_in_use{service="cases"}', "10x10"),
    ),
    Symptom(
        "RequestsFail",
        "critical",
        "网关有超过百分之二的请求失败",
        "more than 2 % of the requests at the gateway fail",
        'sum(rate(tongban_gateway_request_seconds_count{status=~"5.."}[5m]))'
        " / sum(rate(tongban_gateway_request_seconds_count[5m])) > 0.02",
        "5m",
        "stopped-process",
        ('tongban_gateway_request_seconds_count{service="cases",status="502"}', "0+10x20"),
    ),
    Symptom(
        "RequestsSlow",
        "warning",
        "网关百分之一的请求超过一秒",
        "one request in a hundred takes more than a second",
        "histogram_quantile(0.99,"
        " sum by (le) (rate(tongban_gateway_request_seconds_bucket[5m]))) > 1",
        "10m",
        "capacity",
        ('tongban_gateway_request_seconds_bucket{service="cases",status="200",le="2.5"}', "0+9x30"),
    ),
    Symptom(
        "VersionsDiffer",
        "warning",
        "进程版本不一致超过一小时",
        "processes of different versions run for more than an hour",
        "count(count by (version) (tongban_build_info)) > 1",
        "1h",
        "upgrade",
        ('tongban_build_info{version="0.0.1",python="3"}', "1x90"),
    ),
    Symptom(
        "BackupOld",
        "critical",
        "超过二十六小时没有成功备份",
        "no backup has succeeded for 26 hours",
        f"time() - max(tongban_backup_last_success_timestamp_seconds) > {BACKUP_SECONDS}",
        "0s",
        "restore",
        ("tongban_backup_last_success_timestamp_seconds", "-93601x10"),
    ),
    Symptom(
        "BackupUnknown",
        "warning",
        "没有备份记录",
        "nothing tells of a backup",
        "absent(tongban_backup_last_success_timestamp_seconds)",
        "1h",
        "restore",
        ("unrelated", "1x90"),
    ),
    Symptom(
        "DrillOld",
        "warning",
        "超过三十五天没有恢复演练",
        "no restore was rehearsed for 35 days",
        f"time() - max(tongban_drill_last_success_timestamp_seconds) > {DRILL_DAYS * DAY}",
        "0s",
        "restore",
        ("tongban_drill_last_success_timestamp_seconds", "-3024001x10"),
    ),
)

BY_NAME = {symptom.name: symptom for symptom in SYMPTOMS}

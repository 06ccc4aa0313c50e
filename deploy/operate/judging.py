"""Judges what the processes told: which part is sick, by the limits of the list of symptoms."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy.operate import symptoms
from deploy.operate.reading import Answer, Silence, read_textfiles
from deploy.operate.symptoms import BY_NAME, DAY, Symptom
from shared.events.base import topic_of
from shared.runtime.status import Certificate, Disk, Status

SPECIAL_CHECKS = {
    "database": "DatabaseAway",
    "bus": "BrokerAway",
    "migrations": "SchemaBehind",
    "facts": "RelayRefused",
    "key": "WrongKey",
}
SILENCES = {
    Silence.DOWN: "没有监听 nothing listens",
    Silence.NO_ANSWER: "有监听但不应答(可能被冻结) listens and does not answer (frozen?)",
    Silence.UNREADABLE: "应答不可读 answers something else",
}
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """A symptom of one part; `detail` tells the figure."""

    symptom: Symptom
    part: str
    detail: str = ""

    @property
    def is_red(self) -> bool:
        return self.symptom.severity == "critical"


@dataclass(frozen=True, slots=True)
class Records:
    """When backup and drill last succeeded (seconds since 1970); None when nothing tells."""

    backup: float | None
    drill: float | None

    @classmethod
    def read(cls, folder: Path | None) -> "Records":
        """From the files that the commands leave in `folder`."""
        if folder is None:
            return cls(None, None)
        return cls(
            read_textfiles(folder, "tongban_backup_last_success_timestamp_seconds"),
            read_textfiles(folder, "tongban_drill_last_success_timestamp_seconds"),
        )


def judge(
    answers: Sequence[Answer], disks: Sequence[Disk], *, records: Records, now: datetime
) -> list[Finding]:
    """What is sick, the worst first; each symptom of a part once."""
    found: list[Finding] = []
    states: dict[str, Status] = {}
    for answer in answers:
        name = answer.target.name
        if isinstance(answer.found, Silence):
            found.append(_finding("ProcessDown", name, detail=SILENCES[answer.found]))
        else:
            states[name] = answer.found
            found += _of_process(name, answer.found, now=now)
    found += [*_of_services(states), *_of_keys(states), *_of_versions(states)]
    found += _of_gateway_clock(answers)
    for disk in disks:
        found += _of_disk("status", disk)
    found += _of_records(records, now=now)
    unique = {(one.symptom.name, one.part): one for one in reversed(found)}
    return sorted(unique.values(), key=_order)


def _order(finding: Finding) -> tuple[bool, int, str]:
    return (not finding.is_red, symptoms.SYMPTOMS.index(finding.symptom), finding.part)


def _finding(name: str, part: str, *, detail: str = "") -> Finding:
    return Finding(BY_NAME[name], part, detail)


def _of_process(name: str, state: Status, *, now: datetime) -> Iterator[Finding]:
    yield from _of_checks(name, state)
    if state.database is not None:
        skew = state.database.clock_skew_seconds
        if abs(skew) > symptoms.SKEW_SECONDS:
            yield _finding("ClockSkewed", name, detail=f"{skew:+.1f} s")
    pool = state.pool
    if pool is not None and pool.in_use >= pool.limit:
        yield _finding("PoolFull", name, detail=f"{pool.in_use}/{pool.limit}")
    for disk in state.disks:
        yield from _of_disk(name, disk)
    for one in state.certificates:
        yield from _of_certificate(one, now=now)
    topic = topic_of(state.service)
    if state.copies_below_minimum:
        yield _finding("CopiesBelowMinimum", topic, detail=f"{state.copies_below_minimum}")
    elif state.copies_missing:
        yield _finding("CopiesMissing", topic, detail=f"{state.copies_missing}")


def _of_certificate(one: Certificate, *, now: datetime) -> Iterator[Finding]:
    left = (one.expires_at - now).total_seconds() / DAY
    detail = f"{one.expires_at:%Y-%m-%d %H:%M}"
    if left < symptoms.CERTIFICATE_RED:
        yield _finding("CertificateEnded", one.setting, detail=detail)
    elif left < symptoms.CERTIFICATE_YELLOW:
        yield _finding("CertificateEnding", one.setting, detail=detail)


def _of_checks(name: str, state: Status) -> Iterator[Finding]:
    database_away = state.checks.get("database") is False
    for check, good in state.checks.items():
        # Without its database a process cannot tell of the schema and the facts in it.
        if good or (database_away and check in {"migrations", "facts", "key"}):
            continue
        if check == "facts" and state.checks.get("migrations") is False:
            continue
        yield _finding(SPECIAL_CHECKS.get(check, "NotReady"), name, detail=check)


def _of_services(states: Mapping[str, Status]) -> Iterator[Finding]:
    """What is measured in the databases: any process of a service tells it."""
    for state in states.values():
        database = state.database
        if database is not None:
            yield from _of_database(state.service, database.outbox_age_seconds, state=state)
        for lag in state.lag or ():
            if lag.seconds > symptoms.LAG_SECONDS:
                detail = f"{lag.topic}: {lag.facts}, {lag.seconds:.0f} s"
                yield _finding("ConsumerLag", state.service, detail=detail)


def _of_database(service: str, age: float, *, state: Status) -> Iterator[Finding]:
    database = state.database
    assert database is not None
    if age > symptoms.OUTBOX_SECONDS:
        yield _finding("OutboxStuck", service, detail=f"{database.outbox_facts}, {age:.0f} s")
    if database.dead_letters_given_up:
        yield _finding("DeadLetters", service, detail=str(database.dead_letters_given_up))
    elif database.dead_letters:
        yield _finding("DeadLettersRetried", service, detail=str(database.dead_letters))
    if database.refused is not None:
        yield _finding("RelayRefused", service, detail=database.refused)


def _of_keys(states: Mapping[str, Status]) -> Iterator[Finding]:
    """Keys that should be equal: the platform key everywhere, a data key within its service."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, state in states.items():
        for key, value in state.keys.items():
            scope = state.service if key == "data" else "*"
            groups.setdefault((scope, key), {}).setdefault(value, []).append(name)
    for (_, key), holders in groups.items():
        for names in _minority(holders):
            yield _finding("WrongKey", ", ".join(names), detail=key)


def _minority(holders: Mapping[str, list[str]]) -> list[list[str]]:
    """Those who differ from most; all of them when no value is held by more than another."""
    by_number = sorted(holders.values(), key=len)
    if len(by_number) < 2:
        return []
    if len(by_number[-1]) == len(by_number[-2]):
        return by_number
    return by_number[:-1]


def _of_gateway_clock(answers: Sequence[Answer]) -> Iterator[Finding]:
    """The gateway has no database: its clock is compared with those of the others' databases."""
    ahead: list[float] = []
    for answer in answers:
        state = answer.found
        if isinstance(state, Status) and state.database is not None:
            lead = (state.now - answer.at).total_seconds()
            ahead.append(lead - state.database.clock_skew_seconds)
    for answer in answers:
        state = answer.found
        if ahead and isinstance(state, Status) and state.service == "gateway":
            skew = (state.now - answer.at).total_seconds() - statistics.median(ahead)
            if abs(skew) > symptoms.SKEW_SECONDS:
                yield _finding("ClockSkewed", answer.target.name, detail=f"{skew:+.1f} s")


def _of_versions(states: Mapping[str, Status]) -> Iterator[Finding]:
    by_version: dict[str, list[str]] = {}
    for name, state in states.items():
        by_version.setdefault(state.version, []).append(name)
    if len(by_version) > 1:
        told = [f"{version}: {len(names)}" for version, names in sorted(by_version.items())]
        yield _finding("VersionsDiffer", "tongban", detail=", ".join(told))


def _of_disk(name: str, disk: Disk) -> Iterator[Finding]:
    left = disk.free_bytes / max(disk.size_bytes, 1)
    part = f"{name} {disk.name}"
    detail = f"{disk.free_bytes / GIB:.1f} GiB, {left:.0%}"
    if disk.refused:
        yield _finding("UploadsRefused", part, detail=detail)
    if left < symptoms.DISK_RED:
        yield _finding("DiskFull", part, detail=detail)
    elif left < symptoms.DISK_YELLOW:
        yield _finding("DiskFilling", part, detail=detail)


def _of_records(records: Records, *, now: datetime) -> Iterator[Finding]:
    if records.backup is None:
        yield _finding("BackupUnknown", "backup")
    elif now.timestamp() - records.backup > symptoms.BACKUP_SECONDS:
        hours = (now.timestamp() - records.backup) / 3600
        yield _finding("BackupOld", "backup", detail=f"{hours:.0f} h")
    if records.drill is not None:
        days = (now.timestamp() - records.drill) / DAY
        if days > symptoms.DRILL_DAYS:
            yield _finding("DrillOld", "drill", detail=f"{days:.0f} d")

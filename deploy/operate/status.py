"""`tongban status`: every process, and which part is sick, with its entry in the runbook.

It asks the processes themselves (`/internal/status`), so it needs neither database nor broker, and
works when either is away. Ends with 1 when something is red, with 2 when no process answers.
"""

import asyncio
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.cells import cell_len

from deploy.command_line import GatewayPort, new_command
from deploy.operate.judging import Finding, Records, judge
from deploy.operate.reading import Answer, Silence, ask_all, local_targets, parse_targets
from deploy.processes import GATEWAY_PORT
from shared import clock
from shared.runtime.status import Disk, Status

HEADINGS = (
    "进程 process",
    "状态 state",
    "版本 version",
    "库 db",
    "总线 bus",
    "待发 outbox",
    "积压 lag",
    "死信 dead",
    "连接 pool",
    "时钟 clock",
)
GREEN, YELLOW, RED = "正常 green", "注意 yellow", "故障 red"
COLOURS = {GREEN: "green", YELLOW: "yellow", RED: "red"}
UNKNOWN = "-"


def _levels(answers: Sequence[Answer], findings: Sequence[Finding]) -> dict[str, str]:
    """The level of each process: the worst of what was found of it."""
    levels = {answer.target.name: GREEN for answer in answers}
    for finding in reversed(findings):
        for part in finding.part.replace(",", " ").split():
            if part in levels:
                levels[part] = RED if finding.is_red else YELLOW
    return levels


def _row(answer: Answer, level: str) -> list[str]:
    found = answer.found
    if isinstance(found, Silence):
        return [answer.target.name, level, found.value, *[UNKNOWN] * (len(HEADINGS) - 3)]
    row = [answer.target.name, level, found.version]
    row += [_check(found, "database"), _check(found, "bus")]
    row += [_outbox(found), _lag(found), _dead(found), _pool(found), _clock(found)]
    return row


def _check(found: Status, name: str) -> str:
    match found.checks.get(name):
        case None:
            return UNKNOWN
        case True:
            return "✓"
        case False:
            return "✗"


def _outbox(found: Status) -> str:
    if found.database is None:
        return UNKNOWN
    return f"{found.database.outbox_facts} ({found.database.outbox_age_seconds:.0f} s)"


def _lag(found: Status) -> str:
    if found.lag is None:
        return UNKNOWN
    facts = sum(lag.facts for lag in found.lag)
    seconds = max((lag.seconds for lag in found.lag), default=0.0)
    return f"{facts} ({seconds:.0f} s)"


def _dead(found: Status) -> str:
    if found.database is None:
        return UNKNOWN
    return str(found.database.dead_letters)


def _pool(found: Status) -> str:
    if found.pool is None:
        return UNKNOWN
    return f"{found.pool.in_use}/{found.pool.limit}"


def _clock(found: Status) -> str:
    if found.database is None:
        return UNKNOWN
    return f"{found.database.clock_skew_seconds:+.2f} s"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with columns of equal width; a Chinese character takes two places."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        line = ""
        for cell, width in zip(row, widths, strict=True):
            line += cell + " " * (width - cell_len(cell) + 2)
        lines.append(line.rstrip())
    return lines


def _print_table(answers: Sequence[Answer], findings: Sequence[Finding]) -> None:
    levels = _levels(answers, findings)
    rows: list[Sequence[str]] = [HEADINGS]
    for answer in answers:
        rows.append(_row(answer, levels[answer.target.name]))
    heading, *lines = _table(rows)
    typer.echo(typer.style(heading, bold=True))
    for answer, line in zip(answers, lines, strict=True):
        typer.echo(typer.style(line, fg=COLOURS[levels[answer.target.name]]))


def _print_findings(findings: Sequence[Finding]) -> None:
    typer.echo("")
    if not findings:
        typer.echo(typer.style("一切正常 / everything is green", fg="green"))
    for finding in findings:
        level = RED if finding.is_red else YELLOW
        symptom = finding.symptom
        what = f"{level}  {finding.part}: {symptom.zh} / {symptom.en}"
        if finding.detail:
            what += f" ({finding.detail})"
        typer.echo(typer.style(what, fg=COLOURS[level]))
        typer.echo(f"      → {symptom.entry}")


def _print_records(records: Records) -> None:
    for title, moment in (
        ("最近备份 last backup", records.backup),
        ("最近演练 last drill", records.drill),
    ):
        told = UNKNOWN
        if moment is not None:
            told = datetime.fromtimestamp(moment, clock.SHANGHAI).strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{title}: {told}")


def _json(answers: Sequence[Answer], findings: Sequence[Finding]) -> str:
    processes: dict[str, object] = {}
    for answer in answers:
        found = answer.found
        if isinstance(found, Silence):
            processes[answer.target.name] = {"silence": found.value}
        else:
            processes[answer.target.name] = found.model_dump(mode="json")
    told: list[dict[str, str]] = []
    for finding in findings:
        told.append(
            {
                "symptom": finding.symptom.name,
                "severity": finding.symptom.severity,
                "part": finding.part,
                "detail": finding.detail,
                "zh": finding.symptom.zh,
                "en": finding.symptom.en,
                "runbook": finding.symptom.entry,
            }
        )
    document = {"at": clock.now().isoformat(), "processes": processes, "findings": told}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def disks_of(paths: Sequence[Path]) -> list[Disk]:
    """The disks of these folders; of one that cannot be read, none."""
    found: list[Disk] = []
    for path in paths:
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        found.append(Disk(name=str(path), free_bytes=usage.free, size_bytes=usage.total))
    return found


cli = new_command()


@cli.command("status")
def status_command(
    *,
    urls: Annotated[
        str,
        typer.Option(
            envvar="TONGBAN_URLS",
            metavar="cases-api=http://HOST:8103,…",
            help="the processes and their operator's addresses; without it those on this machine",
        ),
    ] = "",
    port: GatewayPort = GATEWAY_PORT,
    state: Annotated[
        Path | None,
        typer.Option(
            envvar=["TONGBAN_METRICS_DIR", "TONGBAN_STATE"],
            metavar="FOLDER",
            help="where backup and drill leave their results",
        ),
    ] = None,
    disk: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="TONGBAN_DISKS", metavar="FOLDER", help="a folder whose disk is judged"
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--timeout", min=1, help="how long a process may take to answer")
    ] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Tell the state of every process and which part is sick. 看每个进程的状态,哪一部分有故障。"""
    targets = parse_targets(urls) or local_targets(port - GATEWAY_PORT)
    answers = asyncio.run(ask_all(targets, seconds=seconds))
    records = Records.read(state)
    findings = judge(answers, disks_of(disk or ()), records=records, now=clock.now())
    if as_json:
        typer.echo(_json(answers, findings))
    else:
        _print_table(answers, findings)
        _print_findings(findings)
        _print_records(records)
    if all(isinstance(answer.found, Silence) for answer in answers):
        raise typer.Exit(2)
    if any(finding.is_red for finding in findings):
        raise typer.Exit(1)

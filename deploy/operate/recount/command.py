"""`tongban recount`: count again, and say what differs.

`<SERVICE>_DATABASE_URL` of each service must be set. Reads only. Status 0: equal; 1: something
differs; 2: something could not be judged, because facts were still under way or never stood still.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import orjson
import typer

from deploy.command_line import explained_errors
from deploy.operate.databases import database_urls
from deploy.operate.recount.compare import PATIENCE, Report, Result, recount

SHOWN = 50
"""Differences that the table shows of one check; `--json` has all."""


def status_of(report: Report) -> int:
    """The exit status: 0 equal, 1 different, 2 not everything could be judged."""
    if report.differences:
        return 1
    if report.lags or report.moving:
        return 2
    return 0


def as_json(report: Report) -> bytes:
    """The report for programs."""
    checks: list[dict[str, object]] = []
    for result in report.results:
        checks.append(
            {
                "check": result.check.name,
                "title": result.check.title,
                "rows": result.rows,
                "moving": result.moving,
                "skipped": result.skipped,
                "differences": [one._asdict() for one in result.differences],
            }
        )
    return orjson.dumps(
        {
            "equal": status_of(report) == 0,
            "differences": len(report.differences),
            "moving": report.moving,
            "under_way": [lag._asdict() for lag in report.lags],
            "dead_letters": report.set_aside,
            "checks": checks,
        },
        option=orjson.OPT_INDENT_2,
    )


def as_table(report: Report) -> str:
    """The report for people."""
    lines = ["结果 result  行数 rows  检查 check"]
    for result in report.results:
        lines.append(f"{_word(result):<12} {result.rows:>10}  {_name(result)}")
        lines += _shown(result)
    for lag in report.lags:
        lines.append(
            f"在途:{lag.service} 还没有收完 {lag.owner} 的事实"
            f" / under way: {lag.service} has not taken all facts of {lag.owner}"
        )
    for service, number in report.set_aside.items():
        if number:
            lines.append(
                f"死信:{service} 有 {number} 条事实未处理"
                f" / dead letters: {number} facts have had no effect in {service}"
            )
    lines.append(_conclusion(report))
    return "\n".join(lines)


def _word(result: Result) -> str:
    if result.differences:
        return "不符 differs"
    if result.skipped:
        return "略过 skipped"
    if result.moving:
        return "变动 moving"
    return "相符 equal"


def _name(result: Result) -> str:
    name = f"{result.check.title} ({result.check.name})"
    if result.skipped:
        return f"{name}: {result.skipped}"
    if result.moving:
        return f"{name}: {result.moving} 项一直在变 / never stood still"
    return name


def _shown(result: Result) -> Sequence[str]:
    lines: list[str] = []
    for one in result.differences[:SHOWN]:
        kept = one.kept or "无 nothing"
        owned = one.owned or "无 nothing"
        lines.append(f"    {one.key}: 现为 has {kept},应为 must be {owned}")
    more = len(result.differences) - SHOWN
    if more > 0:
        lines.append(f"    还有 {more} 项 / and {more} more (--json)")
    return lines


def _conclusion(report: Report) -> str:
    match status_of(report):
        case 0:
            return "全部相符 / everything is equal"
        case 1:
            number = len(report.differences)
            return f"{number} 项不符 / {number} differences"
        case _:
            return "有的不能判断,请稍后再试 / not everything could be judged; try again later"


def recount_command(
    *,
    json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="seconds to wait for facts under way")
    ] = PATIENCE,
) -> None:
    """Compare every figure and copy with the owners' tables. 按各服务自己的表重新计数."""
    with explained_errors():
        report = asyncio.run(recount(database_urls(), patience=patience))
    if json:
        typer.echo(as_json(report))
    else:
        typer.echo(as_table(report))
    raise typer.Exit(status_of(report))

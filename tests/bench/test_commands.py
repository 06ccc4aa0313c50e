"""The benchmark commands start, make their data and leave a line behind.

They run at the smallest size; no figure is judged.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.__main__ import rows
from bench.data import documents
from bench.harness import ROOT, at_least, at_most
from bench.load import percentile
from bench.report import render
from shared.domain.guides import MatterDocument


async def run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-3000:]
    return out.decode()


@pytest.mark.parametrize("row", ["p05", "p11", "p13", "p16"])
async def test_row_starts_and_prints_its_figures(row: str) -> None:
    out = await run("bench", row, "--quick")

    assert re.search(r"pass [≥≤] .*(AIM|PASS|MISS)", out)


@pytest.mark.xdist_group("kafka")
async def test_row_on_the_production_topology() -> None:
    out = await run("bench", "p01", "--quick")

    assert "cases created" in out
    assert "pgbench" in out


async def test_unknown_row_is_told() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "p99", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 2
    assert b"no such row: p99" in err


def test_every_row_of_the_issue_has_its_command() -> None:
    wanted = list(range(1, 20))

    assert list(rows()) == [f"p{number:02}" for number in wanted]
    assert all((Path(ROOT) / f"bench/{module}.py").exists() for module in rows().values())


def test_generated_matters_are_valid_and_different() -> None:
    made = [MatterDocument.model_validate(document) for document in documents(400)]

    assert len({(m.area_code, m.department_code, m.code) for m in made}) == 400
    assert len({m.name.zh for m in made}) == 400


def test_verdicts_follow_the_bounds() -> None:
    verdicts = [at_least("rate", value, "/s", 150, 300).verdict for value in (300, 150, 149)]
    verdicts += [at_most("p95", value, "ms", 120, 60).verdict for value in (60, 120, 121)]

    assert verdicts == ["aim", "pass", "miss", "aim", "pass", "miss"]


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([3.0], 0.99)) == (
        51.0,
        96.0,
        3.0,
    )


def test_report_shows_bounds_and_what_stands_beside() -> None:
    figures: list[dict[str, Any]] = [
        {
            "name": "rate",
            "value": 151.26,
            "unit": "/s",
            "passes": 150,
            "aims": 300,
            "more": True,
            "verdict": "pass",
        },
        {
            "name": "p50",
            "value": 4200.0,
            "unit": "ms",
            "passes": None,
            "aims": None,
            "more": False,
            "verdict": "",
        },
    ]
    run = {
        "row": "P1",
        "at": "2026-11-25T16:00:00+00:00",
        "commit": "abc",
        "load_before": 0.2,
        "speeds": [25.04, 14.2],
        "machine": {"cpu": "a CPU", "cores": 2},
        "figures": figures,
    }

    page = render({"P1": orjson.loads(orjson.dumps(run))})

    assert "| P1 | rate | 151 /s | ≥ 150 /s | ≥ 300 /s | pass |" in page
    assert "p50 4,200 ms" in page
    assert "a plain loop 25.0 M steps/s before, 14.2 after" in page


def test_catalogue_of_the_benchmarks_keeps_the_rules_of_its_codes() -> None:
    for document in documents(300):
        matter = MatterDocument.model_validate(document)
        entry = matter.catalog_entry
        assert entry is None or entry.code == matter.catalog_code
        assert all(
            (item.code or "").startswith(matter.code or "-") for item in matter.handling_items
        )

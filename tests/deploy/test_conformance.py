"""A changed image, chart or lock file is noticed until somebody has tried it."""

from pathlib import Path

import pytest

from deploy import conformance
from deploy.conformance import Check, digest_of, read_lines, record, stale


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page on which everything was tried as it is."""
    copy = tmp_path / "conformance.md"
    _ = copy.write_text(conformance.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for check in Check:
        record(check, "right", page=copy)
    return copy


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the files that are tried."""
    root = tmp_path / "tree"
    for check in Check:
        for pattern in conformance.TRIED[check]:
            for path in conformance.ROOT.glob(pattern):
                if path.is_file() and "__pycache__" not in path.parts:
                    copy = root / path.relative_to(conformance.ROOT)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    _ = copy.write_bytes(path.read_bytes())
    return root


def test_what_was_tried_as_it_is_is_not_told(page: Path, tree: Path) -> None:
    assert stale(page) == []
    assert stale(page, tree) == []
    assert read_lines(page)[Check.CONTAINERS].result == "right"


@pytest.mark.parametrize(
    ("file", "check"),
    [
        ("deploy/Dockerfile", Check.CONTAINERS),
        ("docker-compose.yml", Check.CONTAINERS),
        ("requirements-runtime.lock", Check.CONTAINERS),
        ("deploy/containers/stand_ins/postgres-entry.sh", Check.CONTAINERS),
        ("deploy/chart/values.yaml", Check.KUBERNETES),
        ("deploy/chart/templates/network.yaml", Check.KUBERNETES),
    ],
)
def test_changed_file_is_told(page: Path, tree: Path, file: str, check: Check) -> None:
    with (tree / file).open("a") as changed:
        _ = changed.write("# planted\n")

    (told,) = stale(page, tree)

    assert f"make {check}" in told
    assert digest_of(check, tree) != digest_of(check)


def test_new_file_is_told(page: Path, tree: Path) -> None:
    _ = (tree / "deploy/containers/planted.sh").write_text("")

    (told,) = stale(page, tree)

    assert "make containers" in told


def test_missing_line_is_told(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    _ = page.write_text(text.replace("`make containers`", "make containers"), encoding="utf-8")

    assert stale(page) == [f"`make containers` was never run: run it and commit {page.name}"]
    with pytest.raises(conformance.ConformanceError):
        record(Check.CONTAINERS, "right", page=page)

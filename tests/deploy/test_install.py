"""`.venv` is there whole or not at all, and only for a Python that the platform runs on."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.install import InstallError, install

ROOT = Path(__file__).resolve().parents[2]
OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && { echo "Python 3.9.2"; exit; }
[ "$1" = -c ] || { echo "must not run: $*"; exit 9; }
exec {python} -c 'import sys; sys.version_info = (3, 9, 2); exec(sys.argv[1])' "$2"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a lock file of one small package, which needs no network."""
    wheel = tmp_path / "greeter-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("greeter.py", "def main() -> None:\n    print('hello')\n")
        archive.writestr(
            "greeter-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeter\nVersion: 1\n"
        )
        archive.writestr(
            "greeter-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(
            "greeter-1.dist-info/entry_points.txt", "[console_scripts]\ngreet = greeter:main\n"
        )
        archive.writestr("greeter-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    _ = (tmp_path / "requirements.lock").write_text(f"{wheel} --hash=sha256:{digest}\n")
    return tmp_path


def test_installation_runs_from_its_final_place_and_is_made_once(project: Path) -> None:
    install(project)
    made = (project / ".venv").stat().st_ino
    install(project)

    greet = subprocess.run(
        [project / ".venv/bin/greet"], capture_output=True, text=True, check=True
    )
    pip = subprocess.run(
        [project / ".venv/bin/pip", "--version"], capture_output=True, text=True, check=True
    )
    assert greet.stdout == "hello\n"
    assert str(project / ".venv") + os.sep in pip.stdout
    assert not [
        script
        for script in (project / ".venv/bin").iterdir()
        if b".venv.new" in script.read_bytes()
    ]
    assert (project / ".venv").stat().st_ino == made
    assert [path.name for path in project.glob(".venv*")] == [".venv"]


def test_broken_installation_leaves_no_half_environment(project: Path) -> None:
    lock = project / "requirements.lock"
    right = lock.read_text()
    _ = lock.write_text(right.replace("sha256:", "sha256:0")[: len(right)])

    with pytest.raises(InstallError, match="安装失败"):
        install(project)

    assert not list(project.glob(".venv*"))


def test_broken_installation_leaves_the_old_environment(project: Path) -> None:
    (project / ".venv").mkdir()
    _ = (project / ".venv/old").write_text("whole")
    _ = (project / "requirements.lock").write_text("no-such-file.whl --hash=sha256:00\n")

    with pytest.raises(InstallError):
        install(project)

    assert [path.name for path in project.glob(".venv*")] == [".venv"]
    assert (project / ".venv/old").read_text() == "whole"


def test_old_python_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock"):
        _ = shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python3.9"
    _ = python.write_text(OLD_PYTHON.replace("{python}", sys.executable))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    before = sorted(tmp_path.iterdir())

    done = make(tmp_path, "run", f"PYTHON={python}")
    missing = make(tmp_path, "run", f"PYTHON={tmp_path / 'nothing'}")

    assert done.returncode == 2
    assert "通办需要 Python 3.11" in done.stderr
    assert "is: Python 3.9.2" in done.stderr
    assert "must not run" not in done.stdout + done.stderr
    assert missing.returncode == 2
    assert "Tongban needs Python 3.11" in missing.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_port_is_a_sentence_from_make_too(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    _ = shutil.copy(ROOT / "Makefile", tmp_path)
    _ = (tmp_path / "requirements.lock").write_text("")
    (tmp_path / ".venv/run.stamp").touch()
    python = tmp_path / ".venv/bin/python"
    _ = python.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} "$@"\n')
    python.chmod(0o755)

    done = make(tmp_path, "run", "PORT=abc", f"DATA={tmp_path / 'data'}")

    assert done.returncode == 2
    assert "端口须是" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

"""One folder, one run: the lock, what it says, and that a dead process does not hold it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.postgres import free_port
from deploy.run_folder import FolderInUseError, RunFolder, find_platform

HOLD = """
import sys, time
from pathlib import Path
from deploy.run_folder import RunFolder
with RunFolder(Path(sys.argv[1]), 8000).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_second_run_in_a_folder_is_refused_and_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, 8000)

    with folder.locked(), pytest.raises(FolderInUseError) as refused:
        folder.refuse_second_run()

    chinese, english = str(refused.value).splitlines()
    assert chinese.startswith(f"数据目录 {tmp_path} 正由另一个通办进程(进程号 {os.getpid()})使用。")
    assert f"pid {os.getpid()}" in english
    assert "DATA=" in chinese
    assert "PORT=" in english
    folder.refuse_second_run()


def test_asking_whether_a_folder_is_in_use_makes_nothing(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new", 8000).refuse_second_run()

    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, 8000)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(FolderInUseError, match=f"pid {holder.pid}"):
            folder.refuse_second_run()
        holder.send_signal(signal.SIGKILL)

    with folder.locked():
        assert folder.lock_file.read_text() == str(os.getpid())


def test_platform_that_was_killed_is_not_found(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "embedded", free_port())
    folder.path.mkdir()

    folder.write_state("embedded", {"cases": "postgresql://…"})

    assert find_platform(folder.url, tmp_path) is None

"""Install what the platform needs into `.venv`: built aside, and moved into place when complete.

`make` runs it with the Python of the system, so it imports nothing but the standard library.
"""

import argparse
import fcntl
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

STAMP = "run.stamp"
"""`make` compares this file with the lock file, to see whether there is something to install."""


class InstallError(RuntimeError):
    """Nothing was changed; the text says what to do."""


def install(root: Path) -> None:
    """Make `.venv` in the folder `root` from `requirements.lock`. Raises: `InstallError`."""
    if find_spec("ensurepip") is None:
        raise InstallError(
            "缺少 Python 的 venv 模块,请先安装:apt-get install python3-venv\n"
            "Python's venv module is missing: apt-get install python3-venv"
        )
    lock, final = root / "requirements.lock", root / ".venv"
    with lock.open("rb") as held:
        # `make run` and `make demo` may be typed at the same time into two terminals.
        fcntl.flock(held, fcntl.LOCK_EX)
        stamp = final / STAMP
        if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
            print("正在安装到 .venv(只需一次,约一分钟)… / Installing into .venv …", flush=True)
            _build(lock, final=final)


def _build(lock: Path, *, final: Path) -> None:
    new, old = final.with_name(".venv.new"), final.with_name(".venv.old")
    for left_over in (new, old):
        _remove(left_over)
    try:
        _run(sys.executable, "-m", "venv", "--prompt", final.name, str(new))
        pip = [str(new / "bin/python"), "-m", "pip", "install", "--quiet"]
        _run(*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(lock))
    except BaseException:
        _remove(new)
        raise
    _rewrite_paths(new, final=final)
    (new / STAMP).touch()
    if final.exists() or final.is_symlink():
        _ = final.rename(old)
    _ = new.rename(final)
    _remove(old)


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise InstallError(
            "安装失败,原有的 .venv 没有改动。原因见上。\n"
            "The installation failed, and .venv is as it was. The cause stands above."
        )


def _rewrite_paths(built: Path, *, final: Path) -> None:
    """The first line of every script names the interpreter by its whole path."""
    for file in [built / "pyvenv.cfg", *(built / "bin").iterdir()]:
        content = b"" if file.is_symlink() or file.is_dir() else file.read_bytes()
        here = str(built).encode()
        # A program in machine code has a NUL byte, and no path that could be changed.
        if here in content and b"\0" not in content:
            _ = file.write_bytes(content.replace(here, str(final).encode()))


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.install", description=__doc__)
    _ = parser.add_argument("--root", type=Path, default=Path(), help="folder of the lock file")
    try:
        install(parser.parse_args().root.resolve())
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

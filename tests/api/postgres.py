"""A real PostgreSQL of one's own, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres, if they are installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def make_cluster(programs: Path, folder: Path) -> Path:
    """An empty cluster below `folder`; its place."""
    user = _user()
    if user is not None:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        for parent in (folder.parent, *folder.parent.parents):
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    base = folder / "base"
    make = [programs / "initdb", "-D", base, "-U", "qcfuse", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"]
    subprocess.run(make, user=user, check=True, capture_output=True, cwd="/")
    return base


@contextmanager
def served_cluster(programs: Path, base: Path, *settings: str) -> Iterator[str]:
    """URL of the server on this cluster, without a database's name; it stops at the end. `settings`: `name=value`."""
    port = free_port()
    start = [programs / "postgres", "-D", base, "-p", str(port), "-h", "127.0.0.1", "-k", base.parent]
    for one in ("fsync=off", *settings):
        start += ["-c", one]
    running = subprocess.Popen(start, user=_user(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        ready, ends_at = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"], time.monotonic() + START_S
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < ends_at, "PostgreSQL did not start"
            time.sleep(0.02)
        yield f"postgresql+psycopg://qcfuse@127.0.0.1:{port}"
    finally:
        running.send_signal(signal.SIGINT)  # a fast shutdown: open connections are closed
        running.wait(START_S)


def _user() -> str | None:
    return "postgres" if os.geteuid() == 0 else None

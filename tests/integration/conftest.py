"""Installations for the tests: made on demand, and everything that runs on them ended with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.installation import Installation, Ran, Server
from tests.integration.logs import leaks_of
from tests.killing import Crew
from tests.postgres import PostgresServer, start_postgres


@pytest.fixture(scope="session")
def make_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Installation]]:
    """A function that returns a new installation."""
    made: list[Installation] = []

    def make(data_dir: Path | None = None, **environment: str) -> Installation:
        folder = tmp_path_factory.mktemp("installation")
        (folder / "logs").mkdir()
        made.append(Installation(data_dir or folder / "data", folder / "logs", environment))
        return made[-1]

    yield make
    for one in made:
        one.end()
    # Whatever the tests did: what their services wrote holds no key, no question and no text.
    assert [leak for one in made for leak in leaks_of(one)] == []


@pytest.fixture
def installation(make_installation: Callable[..., Installation]) -> Iterator[Installation]:
    """An empty installation."""
    made = make_installation()
    yield made
    made.end()


@pytest.fixture(scope="session")
def learned(make_installation: Callable[..., Installation], samples: Path) -> tuple[Installation, Ran]:
    """An installation that has learned the sample documents, and how that went; do not change it."""
    made = make_installation()
    return made, made.run("ingest", samples / "documents", "--json", cold=True)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """A function that runs ``up`` on an installation and waits until it is ready."""
    servers: list[Server] = []

    def start(installation: Installation, **environment: str) -> Server:
        servers.append(Server(installation, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.client.close()
        server.installation.end()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the session."""
    server = start_postgres()
    yield server
    server.close()


@pytest.fixture
def make_crew(url: str) -> Iterator[Callable[..., Crew]]:
    """A function that makes a crew on the database of the test module's ``url``; all crews end with the test."""
    made: list[Crew] = []

    def make(**options: Any) -> Crew:
        made.append(Crew(url, **options))
        return made[-1]

    yield make
    for crew in made:
        crew.close()

"""A worker says that it is there, and that it has left; its jobs are tested with real processes (``test_kills``)."""

from __future__ import annotations

import threading

import pytest
from dbos import DBOS
from sqlalchemy import Connection, event, select

from ingest.pipeline import Learner
from ingest.worker import Worker
from memory_graph.database import Database
from memory_graph.errors import StoreVersionMismatch
from memory_graph.tables import workers


def never() -> Learner:
    raise AssertionError("no job is learned here")


def ids(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(workers.c.id)))


def test_a_worker_that_has_left_does_not_come_back(database: Database) -> None:
    worker = Worker(database, never)
    worker._beat()
    assert ids(database) == [worker.id]
    worker.stop(patience_s=0)
    worker._beat()
    assert ids(database) == []


def test_without_the_tables_of_the_queue_it_says_what_makes_them(database: Database) -> None:
    worker = Worker(database, never)
    try:
        with pytest.raises(StoreVersionMismatch, match=r"run `sharpwave db upgrade`"):
            worker.start()
    finally:
        worker.stop(patience_s=0)
        DBOS.destroy(destroy_registry=True)


def test_a_learner_that_does_not_close_is_not_waited_for(database: Database) -> None:
    class Stuck:
        begun, released = threading.Event(), threading.Event()

        def close(self) -> None:
            self.begun.set()
            self.released.wait(60)

    worker = Worker(database, never)
    worker._learner = Stuck()  # type: ignore[assignment]
    worker.stop(patience_s=0.05)
    assert Stuck.begun.wait(60)
    assert not Stuck.released.is_set()
    Stuck.released.set()


def test_a_heartbeat_that_waits_for_the_database_is_before_the_leaving_or_not_at_all(database: Database) -> None:
    worker = Worker(database, never)
    worker._beat()
    begun = threading.Event()

    def tell(connection: Connection) -> None:
        begun.set()

    with database.write():  # as a batch that is being committed
        event.listen(Connection, "begin", tell)
        try:
            threads = [threading.Thread(target=worker._beat), threading.Thread(target=worker.stop, args=[0.0])]
            for thread in threads:
                thread.start()
            assert begun.wait(60)
        finally:
            event.remove(Connection, "begin", tell)
    for thread in threads:
        thread.join(60)
    assert ids(database) == []

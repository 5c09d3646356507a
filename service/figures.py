"""What the overview is made of beside rows: the last hour, counts that are kept, the disk."""

from __future__ import annotations

from memory_graph.database import Database
from service.recent import Recent
from service.recent_files import RecentFiles
from service.settings import Settings
from service.tally import Tally
from service.usage import DiskUse


class Figures:
    """The figures of one process, which begin with it and end with it."""

    def __init__(self, settings: Settings, database: Database, recent: Recent) -> None:
        self.hour = RecentFiles(recent, settings.data_dir.expanduser() / "recent")
        self.tally = Tally(database)
        self.disk = DiskUse(settings.data_dir, settings.views_dir, database)

    def start(self) -> None:
        """Let others know of this process."""
        self.hour.start()

    def stop(self) -> None:
        """Write what is known, and end what counts."""
        self.hour.stop()
        self.tally.stop()

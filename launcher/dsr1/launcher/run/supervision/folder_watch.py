"""What a run's folder tells its supervisor: that it is there still, and whether somebody wants the
end of the run and had no other way to say so."""

import socket
from typing import NoReturn

from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.messages import FolderGone, StopRequested

GONE_LOOKS = 3


class FolderWatch:
    """Gone is what was gone several looks long, or is another run's."""

    def __init__(self, run: Run) -> None:
        self._run, self._run_id, self._times_gone = run, run.run_id(), 0

    def look(self) -> None:
        """Raises StopRequested, FolderGone."""
        if self._run.is_asked_to_stop():
            raise StopRequested("asked to stop")
        self._times_gone = 0 if self._run.is_still(self._run_id) else self._times_gone + 1
        if self._times_gone >= GONE_LOOKS or self._run.is_anothers(self._run_id):
            self._refuse()

    def look_once(self) -> None:
        """Before anything is written there, and started: as `look`, and one look is enough."""
        if not self._run.is_still(self._run_id):
            self._refuse()
        self.look()

    def _refuse(self) -> NoReturn:
        raise FolderGone(f"{self._run.folder} was removed on {socket.gethostname()}")

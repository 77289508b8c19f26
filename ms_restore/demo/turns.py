"""Runs take turns: one is computed at a time, in the order in which visitors asked."""

from __future__ import annotations

import collections
import logging
import secrets
import threading
import time
from typing import Any, Callable, Optional

from ms_restore.errors import InputError
from ms_restore.report.terminal import Watch

Work = Callable[[Watch], dict[str, Any]]
MOST_WAITING = 20
"""How many runs may wait; one more is refused."""
_AWAY_SECONDS = 150.0  # a browser asks once a minute of a page that is not seen
_KEPT = 200  # runs that are over, of which pages still ask
_LOG = logging.getLogger(__name__)


class Cancelled(Exception):
    """Raised within a run that its visitor cancelled, or left."""


class Run:
    """One restoration that a visitor asked for.

    Attributes:
        id: names it, and cannot be guessed.
        state: "waiting", "running", "done", "failed" or "cancelled".
        done: how many of its ``total`` pieces are computed; total is 0 until that is known.
        result: what the work returned.
        problem: why it failed, in one line.
    """

    def __init__(self, work: Work) -> None:
        self.id = secrets.token_urlsafe(16)
        self.work = work
        self.state = "waiting"
        self.done, self.total = 0, 0
        self.result: dict[str, Any] = {}
        self.problem = ""
        self.cancelling = False
        self.seen = time.monotonic()

    def is_unwanted(self) -> bool:
        """Return whether its visitor cancelled it, or has not asked for it for minutes."""
        return self.cancelling or time.monotonic() - self.seen > _AWAY_SECONDS

    def watch(self, done: int, total: int) -> None:
        """Note the progress; raise Cancelled where nobody waits for the run any more."""
        self.done, self.total = done, total
        if self.is_unwanted():
            raise Cancelled


class Turns:
    """The runs that wait and that are over, and the one that is computed.

    Runs are added and asked for by the threads of the server; ``serve`` computes them in one.
    """

    def __init__(self) -> None:
        self._waiting: collections.deque[Run] = collections.deque()
        self._runs: collections.OrderedDict[str, Run] = collections.OrderedDict()
        self._changed = threading.Condition()
        self._ended = False

    def add(self, work: Work) -> Run:
        """Add a run at the end; raise InputError where too many wait."""
        with self._changed:
            waiting = [run for run in self._waiting if not run.is_unwanted()]
            if len(waiting) >= MOST_WAITING:
                raise InputError(f"{len(waiting)} runs are waiting already; try again in a while")
            run = Run(work)
            self._waiting.append(run)
            self._runs[run.id] = run
            while len(self._runs) > _KEPT + MOST_WAITING:
                self._runs.popitem(last=False)
            self._changed.notify_all()
        return run

    def find(self, id: str) -> Optional[Run]:
        """Return the run of this name, whose visitor is there; None where there is none."""
        run = self._runs.get(id)
        if run is not None:
            run.seen = time.monotonic()
        return run

    def before(self, run: Run) -> int:
        """Return how many runs come before this one, with the one that is computed."""
        with self._changed:
            if run.state != "waiting" or run not in self._waiting:
                return 0
            return 1 + self._waiting.index(run)

    def cancel(self, run: Run) -> None:
        """Cancel a run: at once where it waits, else before its next piece."""
        with self._changed:
            run.cancelling = True
            if run in self._waiting:
                self._waiting.remove(run)
                run.state = "cancelled"

    def end(self) -> None:
        """Let ``serve`` return, and the present run end before its next piece."""
        with self._changed:
            self._ended = True
            for run in self._runs.values():
                run.cancelling = True
            self._changed.notify_all()

    def serve(self) -> None:
        """Compute the runs in turn, in this thread, until ``end`` is called."""
        while True:
            with self._changed:
                while not self._waiting and not self._ended:
                    self._changed.wait(0.5)  # a signal is answered between two waits
                if self._ended:
                    return
                run = self._waiting.popleft()
                run.state = "running"
            _compute(run)


def _compute(run: Run) -> None:
    """Compute one run; whatever goes wrong in it is noted, and the next one has its turn."""
    try:
        run.watch(0, 0)
        run.result = run.work(run.watch)
        run.state = "done"
    except Cancelled:
        run.state = "cancelled"
    except InputError as error:
        run.problem, run.state = "; ".join(error.problems), "failed"
    except MemoryError:
        run.problem, run.state = "too large for the memory that is free", "failed"
    except Exception as error:  # an engine's, say; the others must have their turn all the same
        _LOG.exception("a run of the demo failed")
        run.problem = f"this run failed ({type(error).__name__}: {error})".splitlines()[0]
        run.state = "failed"

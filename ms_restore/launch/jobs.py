"""Several ranks: started together, ended together, the first that fails is named."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Optional

import psutil

from ms_restore.errors import InputError
from ms_restore.report.terminal import say

_POLL_SECONDS = 0.2  # between two checks of the processes
_GRACE_SECONDS = 10.0  # for a rank to end after SIGTERM
_SAVING_SECONDS = 600.0  # for the ranks to save when the user ends the job


@dataclasses.dataclass
class Rank:
    """A process to be started; ``environment`` comes on top of this one's, None takes away.

    ``msrun``: no rank, but what starts ``count`` of them, with logs worker_N.log beside its own. It
    listens on ``port``, where that is named.
    """

    number: int
    command: list[str]
    environment: dict[str, Optional[str]]
    log: Path
    msrun: bool = False
    count: int = 1
    port: Optional[int] = None

    def shell_line(self) -> str:
        """Return the line for a shell that starts the same."""
        words = [f"-u {key}" for key, value in self.environment.items() if value is None]
        words += [
            f"{key}={shlex.quote(value)}"
            for key, value in self.environment.items()
            if value is not None
        ]
        started = f"env {' '.join(words)} {shlex.join(self.command)}"
        return f"{started} > {shlex.quote(str(self.log))} 2>&1"

    def whole_environment(self) -> dict[str, str]:
        """Return the variables that the process starts with."""
        both = {**os.environ, **self.environment}
        return {key: value for key, value in both.items() if value is not None}


def run(ranks: list[Rank]) -> int:
    """Run all ranks until they end, and return the exit code, 0 if none failed.

    When a rank fails, its log is reported, the others are stopped, and the exit code is its own.
    When this process gets SIGINT or SIGTERM, the ranks are stopped and have ten minutes to save.
    Raises InputError where a port is in use.
    """
    for rank in ranks:
        if rank.port is not None and not _free(rank.port):
            raise InputError(
                f"port {rank.port} is in use (another job?); choose another with --master_port"
            )
        rank.log.parent.mkdir(parents=True, exist_ok=True)
    processes = []
    with contextlib.ExitStack() as files, _signals() as received:
        try:
            for rank in ranks:
                log = files.enter_context(rank.log.open("wb"))
                processes.append(
                    subprocess.Popen(
                        rank.command,
                        env=rank.whole_environment(),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C comes through this process alone
                    )
                )
            return _watch(ranks, processes, received)
        finally:
            _stop(processes, _GRACE_SECONDS)


def _watch(ranks: list[Rank], processes: list[Any], received: list[int]) -> int:
    started: dict[int, int] = {}  # process ids and rank numbers of the ranks that msrun started
    while True:
        for rank, process in zip(ranks, processes):
            if rank.msrun:
                started.update({child.pid: n for n, child in _workers(process.pid).items()})
        codes = [process.poll() for process in processes]
        failed = [n for n, code in enumerate(codes) if code not in (None, 0)]
        if received:
            say("ending all ranks, which save first")
            saving = [
                worker
                for rank, process in zip(ranks, processes)
                for worker in (
                    _workers(process.pid).values() if rank.msrun else [psutil.Process(process.pid)]
                )
            ]
            for worker in saving:
                with contextlib.suppress(psutil.Error):
                    worker.terminate()
            deadline = time.monotonic() + _SAVING_SECONDS
            # does not wait for msrun itself, which keeps waiting for its scheduler
            while any(map(_is_running, saving)) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            return 128 + received[0]
        found = _failed_msrun_rank(ranks, started)
        if failed or found:
            rank, code = found or (ranks[failed[0]], codes[failed[0]])
            say(f"rank {rank.number} failed ({_describe_exit(code)}); its log: {rank.log}")
            for line in _last_lines(rank.log):
                say(f"  {line}")
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(_POLL_SECONDS)


def _workers(msrun: int) -> dict[int, psutil.Process]:
    """Return the processes of the ranks that msrun started on this host, by number."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(msrun).children()
        for child in sorted(children, key=psutil.Process.create_time):  # log tails start last
            environment = child.environ()
            if environment.get("MS_ROLE") == "MS_WORKER":
                found.setdefault(int(environment["RANK_ID"]), child)
    return found


def _failed_msrun_rank(ranks: list[Rank], started: dict[int, int]) -> Optional[tuple[Rank, int]]:
    """Return the first rank of msrun that failed and its exit code, from msrun's log, or None.

    msrun itself would go on for minutes, as its scheduler waits for the lost rank.
    """
    for rank in ranks:
        text = rank.log.read_text(encoding="utf-8", errors="replace") if rank.msrun else ""
        match = re.search(r"process (\d+) exit with exception\. Error code: (-?\d+)", text)
        if match is not None and int(match.group(1)) in started:
            number = started[int(match.group(1))]
            log = rank.log.with_name(f"worker_{number}.log")
            return dataclasses.replace(rank, number=number, log=log), int(match.group(2))
    return None


def _is_running(process: psutil.Process) -> bool:
    """Return whether a process is running; one that ended stays a zombie until its parent waits."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _wait(processes: list[Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))


def _stop(processes: list[Any], grace: float) -> None:
    """Terminate the processes, and after ``grace`` seconds kill them and their children."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    _wait(processes, grace)
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the block, instead of being ended by them."""
    received: list[int] = []

    def note(number: int, frame: Optional[FrameType]) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _describe_exit(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"


def _last_lines(log: Path, count: int = 3) -> list[str]:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][-count:]


def _free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", port))
        except OSError:
            return False
    return True

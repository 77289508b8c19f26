"""launch: train on several devices, one process each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError
from ms_restore.launch import jobs
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike

_TRAIN = Path(__file__).parents[1] / "launch" / "rank_main.py"


def launch(
    train_options: list[str],
    *,
    rank_table: Optional[PathLike] = None,
    workers: Optional[int] = None,
    server_id: Optional[str] = None,
    nodes: int = 1,
    node_rank: int = 0,
    master_addr: str = "127.0.0.1",
    master_port: int = 8118,
    log_dir: PathLike = "runs/ranks",
    dry_run: bool = False,
) -> int:
    """Start this server's ranks of a training run and watch them; the job's exit code.

    Args:
        train_options: of ``ms-restore train``, the same for every rank.
        rank_table: HCCL rank table (Ascend); a rank for each of its devices on this server.
        workers: instead by msrun: how many ranks on this host.
        server_id: this server's name in the table, by default one of its addresses.
        nodes: by msrun: how many hosts there are.
        node_rank: by msrun: the number of this host, from 0.
        master_addr: by msrun: address of host 0.
        master_port: by msrun: port of host 0.
        log_dir: a log for each rank.
        dry_run: print each rank's environment and command, start nothing.
    """
    if (rank_table is None) == (workers is None):
        raise InputError("name either --rank_table FILE or --workers N")
    logs = Path(log_dir)
    if rank_table is not None:
        command = [sys.executable, str(_TRAIN), *train_options]
        ranks = jobs.ranks_by_table(Path(rank_table), command, logs, server_id)
    else:
        ranks = jobs.ranks_by_msrun(
            workers or 0,
            [str(_TRAIN), *train_options],
            logs,
            nodes=nodes,
            node_rank=node_rank,
            master_addr=master_addr,
            master_port=master_port,
        )
    if dry_run:
        for rank in ranks:
            say(rank.shell_line())
        return 0
    say(f"{len(ranks) if rank_table else workers} ranks, logs in {logs}")
    return jobs.run(ranks)

"""launch: train on several devices, one process each."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError
from ms_restore.launch import jobs, plans
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
    master_addr: Optional[str] = None,
    master_port: int = plans.PORT,
    bind_core: Optional[str] = None,
    cluster_time_out: Optional[int] = None,
    log_dir: PathLike = "runs/ranks",
    dry_run: bool = False,
) -> int:
    """Start this server's ranks of a training run and watch them; the job's exit code.

    Args:
        train_options: of ``ms-restore train``, the same for every rank.
        rank_table: HCCL rank table (Ascend); a rank for each of its devices on this server. By
            msrun, or with a MindSpore before 2.8 by a process a device that reads the table.
        workers: instead of a table: how many ranks on this host, by msrun.
        server_id: this server's name in the table, by default one of its addresses.
        nodes: with workers: how many hosts there are.
        node_rank: with workers: the number of this host, from 0.
        master_addr: of msrun: address of host 0; none: the table's first server, or this host.
        master_port: of msrun: port of host 0.
        bind_core: of msrun: "True" binds every rank to processor cores of its own.
        cluster_time_out: of msrun: seconds that it waits for all ranks to come.
        log_dir: a log for each rank; msrun's are worker_N.log and scheduler.log.
        dry_run: print the environment and command of what would be started, start nothing.
    """
    if (rank_table is None) == (workers is None):
        raise InputError("name either --rank_table FILE or --workers N")
    logs, train = Path(log_dir), [str(_TRAIN), *train_options]
    options = plans.MsrunOptions(master_port, bind_core, cluster_time_out)
    if rank_table is not None:
        table = Path(rank_table)
        ranks = plans.of_table(table, train, logs, server_id, options, master_addr)
        if not dry_run and not _on_cpu(train_options):
            plans.check_devices(table, server_id)
    else:
        ranks = plans.of_workers(
            workers or 0,
            train,
            logs,
            nodes=nodes,
            node_rank=node_rank,
            master_addr=master_addr or "127.0.0.1",
            options=options,
        )
    if dry_run:
        for rank in ranks:
            say(rank.shell_line())
        return 0
    say(f"{sum(rank.count for rank in ranks)} ranks here, logs in {logs}")
    return jobs.run(ranks)


def _on_cpu(train_options: list[str]) -> bool:
    words = " ".join(train_options).replace("=", " ")
    return "--device_target CPU" in words

"""What a launch starts: msrun, or for a MindSpore that reads rank tables a process a device."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ms_restore import ascend, parallel
from ms_restore.errors import InputError, comma_list
from ms_restore.launch import rank_table
from ms_restore.launch.jobs import Rank
from ms_restore.launch.rank_table import Device

PORT = 8118  # msrun's own default


@dataclasses.dataclass(frozen=True)
class MsrunOptions:
    """The options of msrun that are the user's, under msrun's own names; None: msrun's default."""

    master_port: int = PORT
    bind_core: Optional[str] = None
    cluster_time_out: Optional[int] = None

    def words(self) -> list[str]:
        """Return those that are set, as msrun takes them."""
        named = {"bind_core": self.bind_core, "cluster_time_out": self.cluster_time_out}
        return [f"--{name}={value}" for name, value in named.items() if value is not None]


def mindspore_version() -> str:
    """Return the version of the MindSpore that is installed, without loading it."""
    try:
        return importlib.metadata.version("mindspore")
    except importlib.metadata.PackageNotFoundError:
        raise InputError("MindSpore is not installed; pip install ms-restore brings it") from None


def of_table(
    path: Path,
    train: list[str],
    logs: Path,
    server: Optional[str] = None,
    options: MsrunOptions = MsrunOptions(),
    master_addr: Optional[str] = None,
    mindspore: Optional[str] = None,
    device_folder: Path = ascend.DEVICE_FOLDER,
) -> list[Rank]:
    """Return what this server starts of a job whose devices a rank table names.

    Args:
        path: the table.
        train: the script that each rank runs, and its options.
        logs: folder of the logs.
        server: this server's name in the table; none: it is known by its addresses.
        options: of msrun.
        master_addr: where msrun's scheduler is; none: the first server of the table.
        mindspore: its version, which decides what is started; none: that installed.
        device_folder: where the driver's devices are.
    """
    devices = rank_table.read(path)
    own = rank_table.server_devices(devices, server)
    version = mindspore or mindspore_version()
    if not parallel.reads_rank_tables(version):
        (rank,) = _msrun_of_table(path, devices, own, train, logs, options, master_addr)
        numbers = ascend.logical([device.device for device in own], device_folder)
        rank.environment["ASCEND_RT_VISIBLE_DEVICES"] = ",".join(map(str, numbers))
        return [rank]
    if options.words():
        name = options.words()[0].partition("=")[0]
        raise InputError(
            f"{name} is an option of msrun, and MindSpore {version} starts from the rank table; "
            "leave it out, or start by --workers"
        )
    return [
        Rank(
            device.rank,
            [sys.executable, *train],
            {
                "RANK_TABLE_FILE": str(path.resolve()),
                "RANK_SIZE": str(len(devices)),
                "RANK_ID": str(device.rank),
                "DEVICE_ID": str(device.device),
            },
            logs / f"rank_{device.rank}.log",
        )
        for device in own
    ]


def _msrun_of_table(
    path: Path,
    devices: list[Device],
    own: list[Device],
    train: list[str],
    logs: Path,
    options: MsrunOptions,
    master_addr: Optional[str],
) -> list[Rank]:
    servers = rank_table.servers(devices)
    counts = [len(of_server) for of_server in servers.values()]
    if len(set(counts)) > 1:
        raise InputError(
            f"rank table {path}: servers with {comma_list(map(str, counts), 16)} devices; msrun "
            "numbers the ranks of several servers only where each has as many"
        )
    names = list(servers)
    return of_workers(
        len(own),
        train,
        logs,
        nodes=len(names),
        node_rank=names.index(own[0].server),
        master_addr=master_addr or names[0],
        options=options,
    )


def of_workers(
    workers: int,
    train: list[str],
    logs: Path,
    *,
    nodes: int = 1,
    node_rank: int = 0,
    master_addr: str = "127.0.0.1",
    options: MsrunOptions = MsrunOptions(),
) -> list[Rank]:
    """Return msrun as the one process to watch; it starts ``workers`` ranks on each of the hosts.

    What hosted machines set is taken away: MindSpore would read RANK_TABLE_FILE, and DEVICE_ID is
    for msrun to give to each rank.
    """
    if workers < 1 or nodes < 1 or not 0 <= node_rank < nodes:
        raise InputError(
            f"{workers} workers, {nodes} nodes, node_rank {node_rank}: expected at least 1 of each "
            "and a node_rank below the number of nodes"
        )
    program = Path(sys.executable).with_name("msrun")
    if not program.is_file():
        raise InputError(
            f"{program}: no such file; msrun comes with MindSpore, so install that into this "
            "Python's environment: pip install 'mindspore>=2.9,<2.11'"
        )
    command = [
        str(program),
        f"--worker_num={workers * nodes}",
        f"--local_worker_num={workers}",
        f"--master_addr={master_addr}",
        f"--master_port={options.master_port}",
        f"--node_rank={node_rank}",
        f"--log_dir={logs}",
        "--join=True",
        *options.words(),
        *train,
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment: dict[str, Optional[str]] = {"RANK_TABLE_FILE": None, "DEVICE_ID": None}
    environment["PATH"] = path
    port = options.master_port if node_rank == 0 else None
    return [Rank(0, command, environment, logs / "msrun.log", True, workers, port)]


def check_devices(
    path: Path,
    server: Optional[str] = None,
    folder: Path = ascend.DEVICE_FOLDER,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Raise InputError where the table has devices of this server that are not there.

    They must be in the ``folder`` of devices, and among ASCEND_RT_VISIBLE_DEVICES where that is
    set before.
    """
    wanted = [device.device for device in rank_table.server_devices(rank_table.read(path), server)]
    there = ascend.devices(folder)
    visible = ascend.visible(environment)
    if visible is not None:
        there = [number for place, number in enumerate(there) if place in visible]
    missing = [str(number) for number in sorted(wanted) if number not in there]
    if missing:
        limit = "" if visible is None else ", of which ASCEND_RT_VISIBLE_DEVICES leaves those"
        found = f"it has {comma_list(map(str, there), 16)}{limit}" if there else "it has none"
        raise InputError(
            f"rank table {path}: device {comma_list(missing, 16)} is not on this server ({found}); "
            "write the table anew: ms-restore rank-table --devices 0-7"
        )

"""Data parallelism: several processes, each with a device, train or score together.

Each process is a rank. msrun or the rank-table launcher starts the ranks and sets environment
variables, by which ``start`` joins them. Without a launcher, this process is rank 0 of 1 and the
functions here do nothing.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ms_restore.errors import InputError

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The number of this process's rank, from 0, and the number of ranks."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone writes files and prints."""
        return self.rank == 0


_ranks = Ranks()


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a launcher started this process, as one of several ranks.

    This includes msrun's scheduler, which runs the same script and stays in ``communication.init``
    until the ranks end.
    """
    by_msrun = environment.get("MS_ROLE") in ("MS_WORKER", "MS_SCHED")
    by_table = bool(environment.get("RANK_TABLE_FILE")) and int(environment.get("RANK_SIZE", 1)) > 1
    return by_msrun or by_table


def check_environment(mindspore: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError where this process is a rank of a table that MindSpore no longer reads."""
    by_msrun = environment.get("MS_ROLE") in ("MS_WORKER", "MS_SCHED")
    if by_msrun or not launched(environment) or reads_rank_tables(mindspore):
        return
    raise InputError(
        f"RANK_TABLE_FILE and RANK_SIZE={environment['RANK_SIZE']} say that this is one of several "
        f"ranks, but MindSpore {mindspore} starts from no rank table; start all by "
        "ms-restore launch --rank_table $RANK_TABLE_FILE, or one alone after unset RANK_SIZE"
    )


def reads_rank_tables(mindspore: str) -> bool:
    """Tell whether this version of MindSpore starts from RANK_TABLE_FILE.

    Its page on startup methods has rank tables up to 2.7; from 2.8 on it has msrun, the dynamic
    cluster and mpirun alone.
    """
    numbers = re.match(r"(\d+)\.(\d+)", mindspore)
    return numbers is not None and (int(numbers.group(1)), int(numbers.group(2))) < (2, 8)


def start() -> Ranks:
    """Join the other ranks on the device that was chosen, once, and return the ranks."""
    global _ranks
    if _ranks.count == 1 and launched():
        import mindspore as ms
        from mindspore import communication

        communication.init()
        count = communication.get_group_size()
        # to be deprecated, says its page; AutoParallel, which that names instead, knows no data
        # parallelism, and the all-reduces are fused only where comm_fusion is set here
        ms.set_auto_parallel_context(
            parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=count
        )
        _ranks = Ranks(communication.get_rank(), count)
    return _ranks


def fuse(all_reduce: Literal["fused", "overlapped"]) -> None:
    """Set how ranks average gradients in graphs compiled from now on.

    "fused" sends all gradients together, "overlapped" each one as soon as it is computed.
    """
    if _ranks.count > 1:
        import mindspore as ms

        fusion = {"allreduce": {"mode": "auto", "config": None}}
        ms.set_auto_parallel_context(
            comm_fusion={"openstate": False} if all_reduce == "overlapped" else fusion
        )


def ranks() -> Ranks:
    """Return this process's rank and their number; before ``start``, rank 0 of 1."""
    return _ranks


def total(values: np.ndarray) -> np.ndarray:
    """Return the sum of float64 ``values`` over all ranks, on every rank.

    It is exact where at most one rank's value is not 0. As the all-reduce on CPUs supports only
    float32, each value is sent as three float32 numbers that add up to it.
    """
    if _ranks.count == 1:
        return values
    import numpy as np
    from mindspore import Tensor, ops

    parts, rest = [], values.astype(np.float64)
    for _ in range(3):
        part = rest.astype(np.float32)
        parts.append(part)
        rest = np.where(np.isfinite(part), rest - part, 0.0)
    reduced = ops.AllReduce()(Tensor(np.stack(parts))).asnumpy().astype(np.float64)
    return reduced[0] + reduced[1] + reduced[2]


def any_rank(flag: bool) -> bool:
    """Return whether the flag is set on any rank."""
    import numpy as np

    return bool(total(np.array([float(flag)]))[0])

"""Data parallelism: several processes, a device each, that train or score together.

Each process is a rank. msrun and the rank-table launcher start them and say so in the environment;
``start`` joins them. Without, this process is rank 0 of 1 and everything here does nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process's rank and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0


_ranks = Ranks()


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started this process, as one of several ranks or as msrun's scheduler.

    The scheduler runs the same script and stays in ``communication.init`` until the ranks end.
    """
    by_msrun = environment.get("MS_ROLE") in ("MS_WORKER", "MS_SCHED")
    by_table = bool(environment.get("RANK_TABLE_FILE")) and int(environment.get("RANK_SIZE", 1)) > 1
    return by_msrun or by_table


def start() -> Ranks:
    """Join the other ranks, once, on the device that was chosen."""
    global _ranks
    if _ranks.count == 1 and launched():
        import mindspore as ms
        from mindspore import communication

        communication.init()
        count = communication.get_group_size()
        ms.set_auto_parallel_context(
            parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=count
        )
        _ranks = Ranks(communication.get_rank(), count)
    return _ranks


def fuse(all_reduce: Literal["fused", "overlapped"]) -> None:
    """How the gradients of the graphs that are compiled from now on are averaged."""
    if _ranks.count > 1:
        import mindspore as ms

        fusion = {"allreduce": {"mode": "auto", "config": None}}
        ms.set_auto_parallel_context(
            comm_fusion={"openstate": False} if all_reduce == "overlapped" else fusion
        )


def ranks() -> Ranks:
    """Which rank this process is; before ``start`` rank 0 of 1."""
    return _ranks


def total(values: np.ndarray) -> np.ndarray:
    """The sum over all ranks of float64 ``values``, on every rank.

    Exact where at most one rank's value is not 0. The all-reduce of a CPU takes float32 alone, so
    each value travels as three of them, whose sum it is.
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
    """Whether the flag is set on any rank."""
    import numpy as np

    return bool(total(np.array([float(flag)]))[0])

"""MINDIR: MindSpore's own graph file, for Ascend, Atlas and CPU, with any height and width."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore.errors import InputError
from ms_restore.files import replacing
from ms_restore.inference.engines import AnySize

_TOLERANCE = 1e-4
_SIZES = ((16, 16), (37, 23), (64, 48))


def export(network: nn.Cell, path: Path) -> float:
    """Write the network and return the largest difference from it, over three sizes.

    InputError, and no file, if that is above 1e-4.
    """
    network.set_train(False)
    any_size = AnySize(network)
    with replacing(path) as temporary:
        shape = Tensor(shape=[None, network.channels, None, None], dtype=ms.float32)
        ms.export(any_size, shape, file_name=str(temporary), file_format="MINDIR")
        difference = _difference(temporary, any_size, network.channels)
        if not difference <= _TOLERANCE:
            raise InputError(
                f"{path}: the exported network differs from the checkpoint by {difference:.1e}, "
                f"more than {_TOLERANCE:.0e}; nothing was written"
            )
    return difference


def _difference(path: Path, network: nn.Cell, channels: int) -> float:
    loaded = nn.GraphCell(ms.load(str(path)))
    rng = np.random.default_rng(0)
    differences = []
    for height, width in _SIZES:
        y = Tensor(rng.random((1, channels, height, width), np.float32))
        differences.append(np.abs(loaded(y).asnumpy() - network(y).asnumpy()).max())
    return float(np.max(differences))

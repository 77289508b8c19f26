"""Restore many pictures of different sizes in one process: memory and open files stay flat.

python -m tests.soak.inferences [--count 1000] [--seed S]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import yaml

from ms_restore import api
from tests.soak.kills import TINY

ENGINES = ("mindspore", "onnxruntime")


class Growth(NamedTuple):
    """By how many bytes, and by how many open files, a process grew."""

    memory: int
    files: int


def restore_many(folder: Path, engine: str, count: int, seed: int = 0) -> Growth:
    """Restore pictures of up to 200 pixels a side by a run's network.

    Returns the growth from half of them to the last: at first, MindSpore's pools fill.
    """
    restorer = api.load_model(folder, engine=engine, device_target="CPU")
    rng, process = np.random.default_rng(seed), psutil.Process()
    memory, files = 0, 0
    for index in range(count):
        if index == count // 2:
            memory, files = process.memory_info().rss, process.num_fds()
        height, width = rng.integers(8, 200, 2)
        x_hat = restorer(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
        assert x_hat.shape == (2 * height, 2 * width, 3)
    return Growth(process.memory_info().rss - memory, process.num_fds() - files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inferences_") as name:
        recipe = Path(name) / "tiny.yaml"
        recipe.write_text(yaml.safe_dump(TINY))
        run = api.train(str(recipe), steps=2, output_dir=Path(name) / "run", device_target="CPU")
        for engine in ENGINES:
            growth = restore_many(run.folder, engine, options.count, options.seed)
            print(
                f"{engine}: {options.count} pictures of different sizes; after the first half, "
                f"memory grew by {growth.memory / 1e6:.1f} MB and open files by {growth.files}",
                flush=True,
            )


if __name__ == "__main__":
    main()

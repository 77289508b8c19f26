"""Bands: ncnn computes a large picture a few rows at a time, none of them twice.

A band's rows stay in the processor's cache, and memory grows with a picture's width, not with its
area. The result is that of one piece. How a band follows from the one before: ncnn_band_graph.py.
"""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.inference.ncnn_band_graph import BandGraph, Kept
from ms_restore.inference.tiling import Span, spans
from ms_restore.runtime import usable_processors

ROWS = 12
"""Rows of a band: two of the 6x6 blocks of ncnn's Winograd transform."""
_STRIP = 300  # a picture is cut into strips of at least this width, or this many times the context
_CONTEXTS = 12  # that a strip needs on each side
_LEAST_STRIP = 128  # the same where there would not be a strip for each processor
_LEAST_CONTEXTS = 4
_SMALL_MODEL = 16 << 20  # bytes of weights that are loaded once more, for a graph without masks
_FIT = 0.75  # memory is used again for blobs of at least this part of its size


class Bands:
    """Computes pictures in bands of rows.

    Where a picture is wide enough, each processor computes a strip of it for itself. That is faster
    than sharing out the channels of each layer, whose rows would go from one processor's cache to
    another's. Only the context of a strip, ``depth`` columns on each side, is computed twice.

    Bands within the picture need no masks. Small networks are faster without them, by a tenth.

    Args:
        ncnn: the package.
        text: of the graph that computes a picture in one piece.
        model: file of the weights, which is read now, as it may be gone when a picture comes.
        channels: of the input.
        load: makes a network of ncnn from a file of weights, a graph's text and a number of
            threads; called when the first picture is computed.

    Attributes:
        floats_per_column: numbers that are kept for each column of the picture, for this band and
            the next one.
        depth: pixels that the output sees in each direction. That many rows more are computed below
            the picture.

    Raises:
        NotInBandsError: the graph cannot be computed in bands.
    """

    def __init__(
        self,
        ncnn: Any,
        text: str,
        model: Path,
        channels: int,
        load: Callable[[Path, str, int], Any],
    ) -> None:
        self._ncnn = ncnn
        self._edge = BandGraph(text, channels, masked=True)
        weights = model.read_bytes()
        small = len(weights) <= _SMALL_MODEL
        self._inner = BandGraph(text, channels, masked=False) if small else self._edge
        self._net = functools.cache(functools.partial(_load_again, load, weights))
        self._pools = ncnn.PoolAllocator(), ncnn.PoolAllocator()  # for blobs kept between bands
        for pool in self._pools:
            pool.set_size_compare_ratio(_FIT)
        self.floats_per_column = 2 * self._edge.floats_per_column
        self.depth = -(-self._edge.output.lag // self._edge.output.scale)

    def __call__(self, y: np.ndarray) -> Optional[np.ndarray]:
        """Return x_hat (C, H, W) of y, both float32; None where memory does not suffice."""
        height, width = y.shape[1:]
        scale, _, channels = self._edge.output
        x_hat = np.empty((channels, scale * height, scale * width), np.float32)
        processors = usable_processors()
        strips = self._cut(width, processors)
        threads = max(1, processors // len(strips))
        nets = [self._net(graph.text, threads) for graph in (self._edge, self._inner)]
        stop = threading.Event()

        def compute(strip: Span) -> None:
            if not self._strip(nets, y, strip, x_hat, stop):
                stop.set()

        if len(strips) == 1:  # in this thread, as each one has threads of its own for the layers
            compute(strips[0])
        else:
            with ThreadPoolExecutor(processors) as pool:
                try:
                    list(pool.map(compute, strips))
                except BaseException:  # interrupted, which the threads are not
                    stop.set()
                    raise
        for allocator in self._pools:
            allocator.clear()
        return None if stop.is_set() else x_hat

    def _cut(self, width: int, processors: int) -> list[Span]:
        """Return the strips: equally many for each processor, or at most one for each."""
        most = width // max(_STRIP, _CONTEXTS * self.depth) // processors * processors
        few = min(processors, width // max(_LEAST_STRIP, _LEAST_CONTEXTS * self.depth))
        count = most or max(1, few)
        return spans(width, -(-(width + 2 * self.depth * (count - 1)) // count), self.depth)

    def _strip(
        self, nets: list[Any], y: np.ndarray, strip: Span, x_hat: np.ndarray, stop: threading.Event
    ) -> bool:
        """Put what is kept of a strip of columns into x_hat; return whether it was finished."""
        height = y.shape[1]
        scale, lag, _ = self._edge.output
        columns = slice(scale * strip.first, scale * strip.last)
        inside = slice(columns.start - scale * strip.start, columns.stop - scale * strip.start)
        width = strip.stop - strip.start
        state = {name: self._zeros(kept, width) for name, kept in self._edge.kept.items()}
        for top in range(0, height + self.depth, ROWS):
            band = np.zeros((y.shape[0], ROWS, width), np.float32)
            rows = y[:, top : top + ROWS, strip.start : strip.stop]
            band[:, : rows.shape[1]] = rows
            within = self.depth <= top and top + ROWS <= height
            graph = self._inner if within else self._edge
            arrays = {"in0": band, **_masks(graph, top, height)}
            values = self._band(nets[within], arrays, state)
            if values is None or stop.is_set():
                return False
            start = scale * top - lag
            first, last = max(0, start), min(start + scale * ROWS, scale * height)
            if first < last:
                x_hat[:, first:last, columns] = values[:, first - start : last - start, inside]
        return True

    def _band(
        self, net: Any, arrays: dict[str, np.ndarray], state: dict[str, Any]
    ) -> Optional[np.ndarray]:
        """Return a band's output, and put what it keeps into ``state``."""
        with net.create_extractor() as extractor:
            extractor.set_blob_allocator(self._pools[0])
            extractor.set_workspace_allocator(self._pools[1])
            for name, array in arrays.items():
                extractor.input(name, self._ncnn.Mat(array).clone())
            for name, kept in state.items():
                extractor.input(f"old_{name}", kept)
            for name in (*state, "out0"):  # in the order of the layers, so that memory is reused
                code, blob = extractor.extract(name, int(name in state))
                if code != 0:
                    return None
                if name in state:
                    state[name] = blob
            return np.array(blob)

    def _zeros(self, kept: Kept, width: int) -> Any:
        shape = (kept.blob.channels, kept.rows, kept.blob.scale * width)
        array = np.zeros(shape, np.float32)
        return self._ncnn.Mat(array).clone()


def _load_again(load: Callable[[Path, str, int], Any], weights: bytes, text: str, n: int) -> Any:
    """Return a network of another graph with the same weights and ``n`` threads."""
    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        model = Path(folder) / "network.ncnn.bin"
        model.write_bytes(weights)
        return load(model, text, n)


def _masks(graph: BandGraph, top: int, height: int) -> dict[str, np.ndarray]:
    """Return for each mask of a graph which of a band's rows are within the picture."""
    masks = {}
    for scale, lag in graph.masks:
        rows = np.arange(scale * ROWS) + scale * top - lag
        within = (rows >= 0) & (rows < scale * height)
        masks[f"mask_{scale}_{lag}"] = within.astype(np.float32)[None, :, None].copy()
    return masks

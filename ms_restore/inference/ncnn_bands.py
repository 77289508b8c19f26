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

from ms_restore.inference.ncnn_band_graph import UNCUT, BandGraph, Kept
from ms_restore.inference.tiling import Span, spans
from ms_restore.runtime import usable_processors

ROWS = 12
"""Rows of a band: two of the 6x6 blocks of ncnn's Winograd transform."""
_STRIP = 300  # a picture is cut into strips of at least this width, or this many times the context
_CONTEXTS = 12  # that a strip needs on each side
_LEAST_STRIP = 128  # the same where there would not be a strip for each processor
_LEAST_CONTEXTS = 4
_SMALL_MODEL = 16 << 20  # bytes of weights that are loaded for each kind of strip and band
_FIT = 0.75  # memory is used again for blobs of at least this part of its size

_Loaded = tuple[BandGraph, Any]  # and its network


class Bands:
    """Computes pictures in bands of rows.

    Where a picture is wide enough, each processor computes a strip of it for itself. That is faster
    than sharing out the channels of each layer, whose rows would go from one processor's cache to
    another's. Only the context of a strip, ``depth`` columns on each side, is computed twice.

    Bands within the picture need no masks, and sides where a strip is cut from the picture need no
    padding. Small networks are faster without either, and have graphs for all kinds of bands.

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
        self._graph = functools.cache(functools.partial(BandGraph, text, channels))
        weights = model.read_bytes()
        self._small = len(weights) <= _SMALL_MODEL
        self._net = functools.cache(functools.partial(_load_again, load, weights))
        self._pools = ncnn.PoolAllocator(), ncnn.PoolAllocator()  # for blobs kept between bands
        for pool in self._pools:
            pool.set_size_compare_ratio(_FIT)
        graph = self._graph(masked=True, cut=UNCUT)
        self.floats_per_column = 2 * graph.floats_per_column
        self.depth = -(-graph.output.lag // graph.output.scale)
        self._output = graph.output

    def __call__(self, y: np.ndarray) -> Optional[np.ndarray]:
        """Return x_hat (C, H, W) of y, both float32; None where memory does not suffice."""
        height, width = y.shape[1:]
        scale, _, channels = self._output
        x_hat = np.empty((channels, scale * height, scale * width), np.float32)
        processors = usable_processors()
        strips = self._cut(width, processors)
        threads = max(1, processors // len(strips))
        jobs = [(strip, self._graphs(strip, width, threads)) for strip in strips]
        stop = threading.Event()

        def compute(job: tuple[Span, list[_Loaded]]) -> None:
            if not self._strip(job[1], y, job[0], x_hat, stop):
                stop.set()

        if len(jobs) == 1:  # in this thread, as each one has threads of its own for the layers
            compute(jobs[0])
        else:
            with ThreadPoolExecutor(processors) as pool:
                try:
                    list(pool.map(compute, jobs))
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

    def _graphs(self, strip: Span, width: int, threads: int) -> list[_Loaded]:
        """Return the graphs of a strip's bands beyond and within the picture, with networks."""
        cut = (strip.start > 0, strip.stop < width) if self._small else UNCUT
        graphs = [self._graph(masked=masked, cut=cut) for masked in (True, not self._small)]
        return [(graph, self._net(graph.text, threads)) for graph in graphs]

    def _strip(
        self,
        graphs: list[_Loaded],
        y: np.ndarray,
        strip: Span,
        x_hat: np.ndarray,
        stop: threading.Event,
    ) -> bool:
        """Put what is kept of a strip of columns into x_hat; return whether it was finished."""
        height = y.shape[1]
        scale, lag, _ = self._output
        columns = slice(scale * strip.first, scale * strip.last)
        graph = graphs[0][0]
        lost = lag if graph.cut[0] else 0
        left = scale * (strip.first - strip.start) - lost
        inside = slice(left, left + columns.stop - columns.start)
        width = strip.stop - strip.start
        state = {name: self._zeros(graph, kept, width) for name, kept in graph.kept.items()}
        for top in range(0, height + self.depth, ROWS):
            band = np.zeros((y.shape[0], ROWS, width), np.float32)
            rows = y[:, top : top + ROWS, strip.start : strip.stop]
            band[:, : rows.shape[1]] = rows
            graph, net = graphs[self.depth <= top and top + ROWS <= height]
            arrays = {"in0": band, **_masks(graph, top, height)}
            values = self._band(net, arrays, state)
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

    def _zeros(self, graph: BandGraph, kept: Kept, width: int) -> Any:
        shape = (kept.blob.channels, kept.rows, graph.columns(kept.blob, width))
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

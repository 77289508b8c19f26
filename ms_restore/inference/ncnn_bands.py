"""Bands: ncnn computes a large picture a few rows at a time, none of them twice.

A band's rows stay in the processor's cache, and memory does not grow with the picture. The result
is that of one piece. How a band follows from the one before: ncnn_band_graph.py.
"""

from __future__ import annotations

import functools
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from ms_restore.contracts import ReadPart, Size, Steps, WritePart
from ms_restore.inference.ncnn_band_graph import UNCUT, BandGraph, Kept
from ms_restore.inference.tiling import Span, spans
from ms_restore.runtime import usable_processors

ROWS = 12
"""Rows of a band: two of the 6x6 blocks of ncnn's Winograd transform."""
_STRIP = 300  # a picture is cut into strips of at least this width, or this many times the context
_CONTEXTS = 12  # that a strip needs on each side
_LEAST_STRIP = 128  # the same where there would not be a strip for each processor
_LEAST_CONTEXTS = 4
_SHARED = 600  # columns from which threads share a strip's layers; in less they mostly wait
_SMALL_MODEL = 16 << 20  # bytes of weights that are loaded for each kind of strip and band
_STEP = 8  # bands of a strip
_FIT = 0.75  # memory is used again for blobs of at least this part of its size

_Loaded = tuple[BandGraph, Any]  # and its network
_Job = tuple[Span, list[_Loaded]]  # a strip, and the graphs of its bands


class _Work(NamedTuple):
    """A picture, as its strips' threads see it."""

    height: int
    read: ReadPart
    write: WritePart
    stop: threading.Event


class Bands:
    """Computes pictures in bands of rows.

    Where a picture is wide enough, each processor computes a strip of it for itself. That is faster
    than sharing out the channels of each layer, whose rows would go from one processor's cache to
    another's, and where each waits for all others: for whole milliseconds where other programs run.
    Only the context of a strip, ``depth`` columns on each side, is computed twice.

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
        columns: the most columns that are computed at once.
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
        self._ncnn, self._channels = ncnn, channels
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
        self._processors = usable_processors()
        self.columns = self._processors * 2 * (self._least_strip + self.depth)

    def __call__(self, size: Size, read: ReadPart, write: WritePart) -> Steps:
        """Return the steps that compute a picture (height, width), which is read within that only.

        They raise MemoryError where memory does not suffice. The call raises OSError or ValueError
        where the network cannot be loaded again.
        """
        height, width = size
        strips = self._cut(width)
        wide = width // len(strips) >= _SHARED
        threads = max(1, self._processors // len(strips)) if wide else 1
        jobs = [(strip, self._graphs(strip, width, threads)) for strip in strips]
        work = _Work(height, read, write, threading.Event())
        count = -(-len(range(0, height + self.depth, ROWS)) // _STEP)
        return Steps(len(jobs) * count, self._compute(work, jobs, count))

    def _compute(self, work: _Work, jobs: list[_Job], count: int) -> Iterator[None]:
        """Compute strips of ``count`` steps."""
        try:
            if len(jobs) == 1:  # in this thread, which has threads of its own for the layers
                yield from self._strip(work, *jobs[0])
            else:
                yield from self._parallel(work, jobs, count)
        finally:
            for allocator in self._pools:
                allocator.clear()

    def _parallel(self, work: _Work, jobs: list[_Job], count: int) -> Iterator[None]:
        """Compute each strip in a thread."""
        done: queue.SimpleQueue[Optional[BaseException]] = queue.SimpleQueue()

        def compute(job: _Job) -> None:
            try:
                steps = self._strip(work, *job)
                next(steps)
                for _ in steps:
                    done.put(None)
                done.put(None)
            except BaseException as error:
                done.put(error)

        with ThreadPoolExecutor(self._processors) as pool:
            try:
                pool.map(compute, jobs)
                for _ in range(len(jobs) * count):
                    yield
                    error = done.get()
                    if error is not None:
                        raise error
            finally:
                work.stop.set()

    @property
    def _least_strip(self) -> int:
        return max(_STRIP, _CONTEXTS * self.depth)

    def _cut(self, width: int) -> list[Span]:
        """Return the strips: equally many for each processor, or at most one for each."""
        most = width // self._least_strip // self._processors * self._processors
        few = min(self._processors, width // max(_LEAST_STRIP, _LEAST_CONTEXTS * self.depth))
        count = most or max(1, few)
        return spans(width, -(-(width + 2 * self.depth * (count - 1)) // count), self.depth)

    def _graphs(self, strip: Span, width: int, threads: int) -> list[_Loaded]:
        """Return the graphs of a strip's bands beyond and within the picture, with networks."""
        cut = (strip.start > 0, strip.stop < width) if self._small else UNCUT
        graphs = [self._graph(masked=masked, cut=cut) for masked in (True, not self._small)]
        return [(graph, self._net(graph.text, threads)) for graph in graphs]

    def _strip(self, work: _Work, strip: Span, graphs: list[_Loaded]) -> Iterator[None]:
        """Compute what is kept of a strip of columns; yield before each step."""
        scale, lag, _ = self._output
        graph = graphs[0][0]
        inside = scale * (strip.first - strip.start) - lag * graph.cut[0]
        columns = slice(inside, inside + scale * (strip.last - strip.first))
        width = strip.stop - strip.start
        state = {name: self._zeros(graph, kept, width) for name, kept in graph.kept.items()}
        for band, top in enumerate(range(0, work.height + self.depth, ROWS)):
            if band % _STEP == 0:
                yield
            if work.stop.is_set():
                return
            within = self.depth <= top and top + ROWS <= work.height
            graph, net = graphs[within]
            array = np.zeros((self._channels, ROWS, width), np.float32)
            if top < work.height:
                rows = slice(top, min(top + ROWS, work.height))
                array[:, : rows.stop - top] = work.read(rows, slice(strip.start, strip.stop))
            arrays = {"in0": array, **_masks(graph, top, work.height)}
            values = self._band(net, arrays, state)
            if values is None:
                raise MemoryError
            start = scale * top - lag
            first, last = max(0, start), min(start + scale * ROWS, scale * work.height)
            if first < last:
                kept = values[:, first - start : last - start, columns]
                work.write(first, scale * strip.first, kept)

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

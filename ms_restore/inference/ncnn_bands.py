"""Bands: ncnn computes a large picture a few rows at a time, and no row twice.

For the next band, each convolution keeps the last rows of its input. The rows that it gives lag
behind those that it takes, since it waits for the rows below; where two layers meet that lag
differently, the rows of the one that is ahead wait too. A band's rows stay in the processor's
cache, and memory grows with a picture's width, not with its area. The result is that of one piece.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Optional

import numpy as np

from ms_restore.inference.ncnn_graph import Layer, read_layers, write_layers
from ms_restore.inference.tiling import Span, spans
from ms_restore.runtime import usable_processors

ROWS = 12
"""Rows of a band: two of the 6x6 blocks of ncnn's Winograd transform."""
_LEAST_STRIP = 128
_STRIP = 300  # the least pixels of width that a processor computes for itself
_DEPTHS = 12  # the same as a multiple of the context that a strip needs on each side
_END = 2**31 - 1
_HEIGHT = 1  # axis
_STARTS, _ENDS, _AXES = "-23309", "-23310", "-23311"  # settings of the layer Crop, as arrays
_PRODUCT = "2"  # of the layer BinaryOp
_ALONE = ("ReLU", "PReLU", "Clip", "Sigmoid", "Swish", "TanH", "UnaryOp", "Split")
_NEAREST = "1"


class _Rows(NamedTuple):
    """The rows of a blob: how many for a row of the picture, how many it lags, and channels."""

    scale: int
    lag: int
    channels: int


class _Kept(NamedTuple):
    """Rows of a blob that the next band needs again."""

    rows: int
    blob: _Rows


class NotInBandsError(ValueError):
    """The graph has a layer whose rows depend on others than those around them."""


class BandGraph:
    """An ncnn graph that computes a band from its rows and from what the band before it kept.

    Beside ``in0`` it takes ``old_NAME`` for each NAME of ``kept``, which is one of its outputs.

    Args:
        text: of the graph that computes a picture in one piece.
        channels: of the input.
        masked: the graph takes masks as well, by which rows beyond the picture become zero for
            each convolution: ``mask_SCALE_LAG`` for each of ``masks``, shape (1, rows, 1).

    Attributes:
        text: of the graph.
        kept: what it keeps.
        masks: (scale, lag) of the inputs of convolutions; none where it takes no masks.
        output: the rows that it gives.

    Raises:
        NotInBandsError: it has layers that cannot be computed in bands.
    """

    def __init__(self, text: str, channels: int, masked: bool) -> None:
        self.kept: dict[str, _Kept] = {}
        self.masks: list[tuple[int, int]] = []
        self._channels, self._masked = channels, masked
        self._layers: list[Layer] = []
        self._rows: dict[str, _Rows] = {}
        self._constants: set[str] = set()
        for layer in read_layers(text):
            self._take(layer)
        if "out0" not in self._rows:
            raise NotInBandsError("no output")
        self.output = self._rows["out0"]
        self.text = write_layers([*self._mask_inputs(), *self._layers])

    @property
    def floats_per_column(self) -> int:
        """Numbers that are kept for each column of the picture."""
        return sum(k.rows * k.blob.channels * k.blob.scale for k in self.kept.values())

    def _take(self, layer: Layer) -> None:
        kind, first = layer.kind, self._rows.get(layer.inputs[0]) if layer.inputs else None
        if kind == "Input" and layer.outputs == ["in0"]:
            self._add(layer, _Rows(1, 0, self._channels))
        elif kind == "MemoryData":
            if layer.number("0", 1) != 1 or layer.number("1", 1) != 1:
                raise NotInBandsError(f"{layer.name} differs from pixel to pixel")
            self._constants.update(layer.outputs)
            self._layers.append(layer)
        elif kind in ("BinaryOp", "Concat"):
            self._add_joined(layer)
        elif first is None:
            raise NotInBandsError(f"{layer.name} does not follow from the picture alone")
        elif kind in _ALONE:
            self._add(layer, first)
        elif kind in ("Convolution", "ConvolutionDepthWise"):
            self._add_convolution(layer, first)
        else:
            self._add(layer, _enlarged(layer, first))

    def _add(self, layer: Layer, rows: _Rows) -> None:
        self._layers.append(layer)
        self._rows.update(dict.fromkeys(layer.outputs, rows))

    def _append(
        self,
        kind: str,
        inputs: list[str],
        outputs: list[str],
        settings: Optional[dict[str, str]] = None,
    ) -> None:
        name = f"{kind}_{outputs[0]}"
        self._layers.append(Layer(kind, name, inputs, outputs, settings or {}))

    def _crop(self, blob: str, to: str, start: int, end: int) -> None:
        """Take the rows [start, end) of a blob, counted from below where they are negative."""
        settings = {_STARTS: f"1,{start}", _ENDS: f"1,{end}", _AXES: f"1,{_HEIGHT}"}
        self._append("Crop", [blob], [to], settings)

    def _join(self, blob: str, rows: int) -> str:
        """Return a blob with that many rows of the band before above it, and keep its last ones."""
        name = f"kept{len(self.kept)}"
        self.kept[name] = _Kept(rows, self._rows[blob])
        self._append("Input", [], [f"old_{name}"])
        self._append("Concat", [f"old_{name}", blob], [f"all_{name}"], {"0": str(_HEIGHT)})
        self._append("Split", [f"all_{name}"], [f"used_{name}", f"last_{name}"])
        self._crop(f"last_{name}", name, -rows, _END)
        return f"used_{name}"

    def _add_convolution(self, layer: Layer, rows: _Rows) -> None:
        """Convolve the band with the rows above it, without padding above and below."""
        reach = _reach(layer)
        blob = layer.inputs[0]
        settings = {**layer.settings, "15": layer.settings.get("15", layer.settings.get("4", "0"))}
        if reach:
            if self._masked:
                blob = self._mask(blob, rows)
            blob = self._join(blob, 2 * reach)
        padded = {**settings, "14": "0", "16": "0"}
        self._add(
            layer._replace(inputs=[blob], settings=padded),
            _Rows(rows.scale, rows.lag + reach, layer.number("0", 0)),
        )

    def _mask(self, blob: str, rows: _Rows) -> str:
        name = f"masked{len(self.masks)}"
        self.masks.append((rows.scale, rows.lag))
        self._append("BinaryOp", [blob, f"for_{name}"], [name], {"0": _PRODUCT})
        self._rows[name] = rows
        return name

    def _mask_inputs(self) -> list[Layer]:
        layers, users = [], {}  # type: tuple[list[Layer], dict[str, list[str]]]
        for number, (scale, lag) in enumerate(self.masks):
            users.setdefault(f"mask_{scale}_{lag}", []).append(f"for_masked{number}")
        for name, blobs in users.items():
            layers.append(Layer("Input", f"Input_{name}", [], [name], {}))
            layers.append(Layer("Split", f"Split_{name}", [name], blobs, {}))
        return layers if self._masked else []

    def _add_joined(self, layer: Layer) -> None:
        """Add a layer that takes the same rows of several blobs: those ahead wait."""
        blobs = {b: self._rows[b] for b in layer.inputs if b not in self._constants}
        if not blobs or len({rows.scale for rows in blobs.values()}) > 1:
            raise NotInBandsError(f"{layer.name} takes blobs of different sizes")
        if layer.kind == "Concat" and layer.number("0", 0) != 0:
            raise NotInBandsError(f"{layer.name} does not join channels")
        lag = max(rows.lag for rows in blobs.values())
        inputs = []
        for blob in layer.inputs:
            wait = lag - blobs[blob].lag if blob in blobs else 0
            if wait:
                late = f"late{len(self.kept)}"
                self._crop(self._join(blob, wait), late, 0, -wait)
                blob = late
            inputs.append(blob)
        channels = [rows.channels for rows in blobs.values()]
        self._add(
            layer._replace(inputs=inputs),
            _Rows(
                next(iter(blobs.values())).scale,
                lag,
                sum(channels) if layer.kind == "Concat" else max(channels),
            ),
        )


def _reach(layer: Layer) -> int:
    """Return how many rows above and below a convolution sees, which it pads by."""
    size, dilation = layer.number("1", 0), layer.number("2", 1)
    height, spread = layer.number("11", size), layer.number("12", dilation)
    left = layer.number("4", 0)
    top = layer.number("14", left)
    strides = {layer.number("3", 1), layer.number("13", layer.number("3", 1))}
    sides = left + layer.number("15", left), top + layer.number("16", top)
    kept = (dilation * (size - 1), spread * (height - 1)) == sides and sides[1] == 2 * top
    if strides != {1} or not kept or sides[0] != sides[1] or layer.number("18", 0) != 0:
        raise NotInBandsError(f"{layer.name} changes the size, or sees farther in one direction")
    return top


def _enlarged(layer: Layer, rows: _Rows) -> _Rows:
    """Return the rows that a layer gives which makes several of each."""
    if layer.kind == "PixelShuffle" and layer.number("1", 0) == 0:
        factor = layer.number("0", 1)
        return _Rows(rows.scale * factor, rows.lag * factor, rows.channels // factor**2)
    if layer.kind == "Interp" and layer.settings.get("0") == _NEAREST:
        height, width = (float(layer.settings.get(key, 0)) for key in "12")
        if height == width == int(height) > 0 and len(layer.inputs) == 1:
            factor = int(height)
            return _Rows(rows.scale * factor, rows.lag * factor, rows.channels)
    raise NotInBandsError(f"{layer.name}: {layer.kind}")


class Bands:
    """Computes pictures in bands of rows.

    Where a picture is wide enough, each processor computes a strip of it for itself. That is faster
    than sharing out the channels of each layer, whose rows would go from one processor's cache to
    another's.

    Args:
        ncnn: the package.
        text: of the graph that computes a picture in one piece.
        channels: of the input.
        load: makes a network of ncnn from a graph's text and a number of threads.
        twice: load a second network without masks for the bands within a picture, which is faster
            by a tenth for small networks.

    Attributes:
        floats_per_column: numbers that are kept for each column of the picture, for this band and
            the next one.
        depth: pixels that the output sees in each direction. So many more rows are computed below
            the picture.

    Raises:
        NotInBandsError: the graph cannot be computed in bands.
    """

    def __init__(
        self,
        ncnn: Any,
        text: str,
        channels: int,
        load: Callable[[str, int], Any],
        twice: bool,
    ) -> None:
        self._ncnn = ncnn
        self._edge = BandGraph(text, channels, masked=True)
        self._inner = BandGraph(text, channels, masked=False) if twice else self._edge
        self._load = functools.cache(load)
        self.floats_per_column = 2 * self._edge.floats_per_column
        self.depth = -(-self._edge.output.lag // self._edge.output.scale)

    def __call__(self, y: np.ndarray) -> Optional[np.ndarray]:
        """Return x_hat (C, H, W) of y, both float32; None where memory does not suffice."""
        height, width = y.shape[1:]
        scale, _, channels = self._edge.output
        x_hat = np.empty((channels, scale * height, scale * width), np.float32)
        processors = usable_processors()
        most = width // max(_STRIP, _DEPTHS * self.depth) // processors * processors
        count = most or max(1, min(processors, width // max(_LEAST_STRIP, 4 * self.depth)))
        threads = max(1, processors // count)
        side = -(-(width + 2 * self.depth * (count - 1)) // count)
        nets = [self._load(graph.text, threads) for graph in (self._edge, self._inner)]

        def compute(strip: Span) -> bool:
            return self._strip(nets, y, strip, x_hat)

        strips = spans(width, side, self.depth)
        if count == 1:  # here, as the threads that compute layers stay with the one that began them
            return x_hat if compute(strips[0]) else None
        with ThreadPoolExecutor(processors) as pool:
            return x_hat if all(list(pool.map(compute, strips))) else None

    def _strip(self, nets: list[Any], y: np.ndarray, strip: Span, x_hat: np.ndarray) -> bool:
        """Put what is kept of a strip of columns into x_hat; return whether memory sufficed."""
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
            if values is None:
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

    def _zeros(self, kept: _Kept, width: int) -> Any:
        shape = (kept.blob.channels, kept.rows, kept.blob.scale * width)
        array = np.zeros(shape, np.float32)
        return self._ncnn.Mat(array).clone()


def _masks(graph: BandGraph, top: int, height: int) -> dict[str, np.ndarray]:
    """Return for each mask of a graph which of a band's rows are within the picture."""
    masks = {}
    for scale, lag in set(graph.masks):
        rows = np.arange(scale * ROWS) + scale * top - lag
        within = (rows >= 0) & (rows < scale * height)
        masks[f"mask_{scale}_{lag}"] = within.astype(np.float32)[None, :, None].copy()
    return masks

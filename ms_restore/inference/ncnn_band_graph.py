"""The ncnn graph of a band: a few rows of a strip of a picture, from what the band before it kept.

For the next band, each convolution keeps the last rows of its input. The rows that it gives lag
behind those that it takes, since it waits for the rows below; where two blobs meet that lag
differently, the rows of the one that is ahead wait too.

Where a strip is cut from the picture, a convolution gives fewer columns than it takes, as many as
its rows lag. Only at the picture's own sides it is padded, for which its input must be copied.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ms_restore.inference.ncnn_graph import Layer, read_layers, write_layers

_END = 2**31 - 1
_HEIGHT = 1  # axis
_ROWS_AND_COLUMNS = "2,1,2"  # axes, as an array
_STARTS, _ENDS, _AXES = "-23309", "-23310", "-23311"  # settings of the layer Crop, as arrays
_PRODUCT = "2"  # of the layer BinaryOp
_ALONE = ("ReLU", "PReLU", "Clip", "Sigmoid", "Swish", "TanH", "UnaryOp", "Split")
_DIVISION_BY_NUMBER = (3, 1)  # operation, and that its second operand is a number
# operations that give a finite number for all: rows beyond the picture become zero by a product
_FINITE_OF_ONE = {*range(5), 9, 10, 14, 16, 18, 19}  # abs, neg, ..., square, sin, cos, tanh
_FINITE_OF_TWO = {0, 1, 2, 4, 5, 7}  # sum, difference both ways, product, maximum, minimum
_NEAREST = "1"


class _Rows(NamedTuple):
    """The rows of a blob: how many for a row of the picture, how many it lags, and channels.

    It lacks as many columns as it lags on each side where the strip is cut from the picture.
    """

    scale: int
    lag: int
    channels: int


class Kept(NamedTuple):
    """Rows of a blob that the next band needs again."""

    rows: int
    blob: _Rows


Cut = tuple[bool, bool]
"""Whether a strip has context on its left and on its right, where it is cut from the picture."""
UNCUT = (False, False)


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
        cut: the sides of the strip where columns are lost instead of padded.

    Attributes:
        text: of the graph.
        kept: what it keeps.
        masks: for each (scale, lag) that convolutions' inputs have, the blobs that are the mask;
            none where it takes no masks.
        output: the rows that it gives.

    Raises:
        NotInBandsError: it has layers that cannot be computed in bands.
    """

    def __init__(self, text: str, channels: int, masked: bool, cut: Cut = UNCUT) -> None:
        self.cut = cut
        self.kept: dict[str, Kept] = {}
        self.masks: dict[tuple[int, int], list[str]] = {}
        self._channels, self._masked = channels, masked
        self._layers: list[Layer] = []
        self._rows: dict[str, _Rows] = {}
        self._constants: dict[str, int] = {}  # their channels
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

    def columns(self, blob: _Rows, width: int) -> int:
        """Return how many columns a blob has in a strip of ``width``."""
        return blob.scale * width - blob.lag * sum(self.cut)

    def _take(self, layer: Layer) -> None:
        kind, first = layer.kind, self._rows.get(layer.inputs[0]) if layer.inputs else None
        if kind == "Input" and layer.outputs == ["in0"]:
            self._add(layer, _Rows(1, 0, self._channels))
        elif kind == "MemoryData":
            if layer.number("0", 1) != 1 or layer.number("1", 1) != 1:
                raise NotInBandsError(f"{layer.name} differs from pixel to pixel")
            self._constants[layer.outputs[0]] = layer.number("2", 1)
            self._layers.append(layer)
        elif kind in ("BinaryOp", "Concat"):
            self._add_joined(layer)
        elif first is None or len(layer.inputs) > 1:
            raise NotInBandsError(f"{layer.name} does not follow from the picture alone")
        elif kind in _ALONE:
            if kind == "UnaryOp" and layer.number("0", 0) not in _FINITE_OF_ONE:
                raise NotInBandsError(f"{layer.name} may not be finite beyond the picture")
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

    def _crop(self, blob: str, to: str, start: int, end: int, columns: int = 0) -> None:
        """Take the rows [start, end) of a blob, counted from below where they are negative.

        Where the strip is cut, that many columns are left out as well.
        """
        left, right = (columns * side for side in self.cut)
        starts, ends = f"2,{start},{left}", f"2,{end},{-right or _END}"
        self._append("Crop", [blob], [to], {_STARTS: starts, _ENDS: ends, _AXES: _ROWS_AND_COLUMNS})

    def _join(self, blob: str, rows: int) -> str:
        """Return a blob with that many rows of the band before above it, and keep its last ones."""
        name = f"kept{len(self.kept)}"
        self.kept[name] = Kept(rows, self._rows[blob])
        self._append("Input", [], [f"old_{name}"])
        self._append("Concat", [f"old_{name}", blob], [f"all_{name}"], {"0": str(_HEIGHT)})
        self._append("Split", [f"all_{name}"], [f"used_{name}", f"last_{name}"])
        self._crop(f"last_{name}", name, -rows, _END)
        return f"used_{name}"

    def _add_convolution(self, layer: Layer, rows: _Rows) -> None:
        """Convolve the band with the rows above it, padded only at the picture's own sides."""
        reach = _reach(layer)
        blob = layer.inputs[0]
        if reach:
            if self._masked:
                blob = self._mask(blob, rows)
            blob = self._join(blob, 2 * reach)
        left, right = (str(0 if side else reach) for side in self.cut)
        padding = {"4": left, "15": right, "14": "0", "16": "0"}
        self._add(
            layer._replace(inputs=[blob], settings={**layer.settings, **padding}),
            _Rows(rows.scale, rows.lag + reach, layer.number("0", 0)),
        )

    def _mask(self, blob: str, rows: _Rows) -> str:
        users = self.masks.setdefault((rows.scale, rows.lag), [])
        mask = f"mask_{rows.scale}_{rows.lag}_{len(users)}"
        users.append(mask)
        self._append("BinaryOp", [blob, mask], [f"masked_{mask}"], {"0": _PRODUCT})
        self._rows[f"masked_{mask}"] = rows
        return f"masked_{mask}"

    def _mask_inputs(self) -> list[Layer]:
        layers = []
        for (scale, lag), users in self.masks.items():
            name = f"mask_{scale}_{lag}"
            layers.append(Layer("Input", f"Input_{name}", [], [name], {}))
            layers.append(Layer("Split", f"Split_{name}", [name], users, {}))
        return layers

    def _add_joined(self, layer: Layer) -> None:
        """Add a layer that takes the same rows of several blobs: those ahead wait."""
        blobs = {b: self._rows[b] for b in layer.inputs if b not in self._constants}
        if not blobs or len({rows.scale for rows in blobs.values()}) > 1:
            raise NotInBandsError(f"{layer.name} takes blobs of different sizes")
        constants = [self._constants[b] for b in layer.inputs if b in self._constants]
        way = layer.number("0", 0)  # an axis or an operation
        if layer.kind == "Concat":
            if way != 0 or constants:
                raise NotInBandsError(f"{layer.name} does not join channels of the picture")
        elif way not in _FINITE_OF_TWO and (way, layer.number("1", 0)) != _DIVISION_BY_NUMBER:
            raise NotInBandsError(f"{layer.name} may not be finite beyond the picture")
        lag = max(rows.lag for rows in blobs.values())
        inputs = []
        for blob in layer.inputs:
            wait = lag - blobs[blob].lag if blob in blobs else 0
            if wait:
                late = f"late{len(self.kept)}"
                self._crop(self._join(blob, wait), late, 0, -wait, columns=wait)
                blob = late
            inputs.append(blob)
        channels = [rows.channels for rows in blobs.values()]
        self._add(
            layer._replace(inputs=inputs),
            _Rows(
                next(iter(blobs.values())).scale,
                lag,
                sum(channels) if layer.kind == "Concat" else max(channels + constants),
            ),
        )


def _reach(layer: Layer) -> int:
    """Return how many rows above and below a convolution sees, which it pads by."""
    size, dilation = layer.number("1", 0), layer.number("2", 1)
    height, spread = layer.number("11", size), layer.number("12", dilation)
    left = layer.number("4", 0)
    top = layer.number("14", left)
    strides = {layer.number("3", 1), layer.number("13", layer.number("3", 1))}
    pads = {left, layer.number("15", left), top, layer.number("16", top)}
    reaches = {dilation * (size - 1), spread * (height - 1), 2 * top}
    value = float(layer.settings.get("18", 0))
    if strides != {1} or len(pads) > 1 or len(reaches) > 1 or value != 0:
        raise NotInBandsError(f"{layer.name} changes the size, or sees farther in one direction")
    return top


def _enlarged(layer: Layer, rows: _Rows) -> _Rows:
    """Return the rows that a layer gives which makes several of each."""
    if layer.kind == "PixelShuffle" and layer.number("1", 0) == 0:
        factor = layer.number("0", 1)
        return _Rows(rows.scale * factor, rows.lag * factor, rows.channels // factor**2)
    if layer.kind == "Interp" and layer.settings.get("0") == _NEAREST:
        height, width = (float(layer.settings.get(key, 0)) for key in "12")
        sized = any(layer.number(key, 0) for key in "346")  # a size of its own, or aligned corners
        if height == width == int(height) > 0 and not sized:
            factor = int(height)
            return _Rows(rows.scale * factor, rows.lag * factor, rows.channels)
    raise NotInBandsError(f"{layer.name}: {layer.kind}")

"""Operators for training in float32 on a CPU that are faster than MindSpore's, or smaller.

MindSpore fixes the layouts of a convolution's operands; oneDNN then makes matrices of them, or
takes its reference. The custom operators of ``convolution.cc`` leave the layouts to oneDNN. They
call a second copy of the oneDNN that MindSpore brings, for MindSpore's own calls are limited to
AVX2 (``ms_restore.runtime``). Those of ``images.cc`` pass over an image once, where MindSpore does
several times (leaky and parametric ReLU), searches again (the gradient of pooling) or keeps a table
of every number's place (pixel shuffle). Those of ``channels.cc`` and ``norms.cc`` are the depthwise
convolution, the gate, the factors and the means of NAFNet, and normalisation over channels; that of
``attention.cc`` is the attention of SwinIR, which keeps nothing of the size of all pairs of pixels,
that of ``batch_norm.cc`` normalises one channel at a time, and that of ``gradients.cc`` gives the
norms by which gradients are checked and clipped.
"""

from __future__ import annotations

from typing import Optional

from mindspore import nn, ops

from ms_restore.networks.layers import (
    ChannelNormalization,
    ChannelScale,
    LeakyReLU,
    NormalizedReLU,
    PlaneMean,
    SimpleGate,
)
from ms_restore.networks.window_attention import WindowAttention
from ms_restore.training.cpu_operators import cells, convolution_cells, library
from ms_restore.training.cpu_operators.library import Unavailable

__all__ = ["Unavailable", "euclidean_norm", "replace_operators"]


def euclidean_norm() -> nn.Cell:
    """Return a cell from a gradient to its norm, by which a training step checks and clips it.

    Raises Unavailable as ``replace_operators`` does.
    """
    return cells.EuclideanNorm()


def replace_operators(network: nn.Cell) -> int:
    """Let the compiled operators compute the network, in place; how many are replaced.

    Weights, their names and order stay. Convolutions in groups of several channels or with a
    stride, and other pooling than of 2x2 pixels, stay MindSpore's. Unavailable without a
    compiler, or on other machines.
    """
    library.operators()  # or nothing is replaced
    count = 0
    for _, cell in list(network.cells_and_names()):
        if isinstance(cell, NormalizedReLU) and cell.norm is not None:
            with_relu = _batch_norm(cell.norm, relu=True)
            if with_relu is not None:
                cell.norm.bn_train, cell.norm_has_relu = with_relu, True
                count += 1
        for name, part in [*vars(cell).items(), *cell.name_cells().items()]:
            substitute = _substitute(cell, part)
            if substitute is None:
                continue
            count += 1
            if isinstance(cell, nn.SequentialCell):
                cell[list(cell.name_cells()).index(name)] = substitute
            else:
                setattr(cell, name, substitute)
            if isinstance(substitute, convolution_cells.WithBias):
                substitute.bias = cell.bias  # once in its place, which renames parameters
                cell.has_bias = False  # added already
    return count


def _substitute(cell: nn.Cell, part: object) -> Optional[nn.Cell]:
    """For a primitive or a cell within the cell; None: it stays."""
    if isinstance(part, nn.PixelShuffle):
        return cells.PixelShuffle(part.upscale_factor)
    if isinstance(part, LeakyReLU):
        return cells.LeakyReLU(part.slope)
    if isinstance(part, ops.PReLU):
        return cells.PReLU()
    if isinstance(part, SimpleGate):
        return cells.SimpleGate()
    if isinstance(part, ops.LayerNorm) and isinstance(cell, nn.LayerNorm):
        last = len(cell.normalized_shape) == 1 and cell.begin_norm_axis == -1
        return cells.LayerNorm(cell.epsilon) if last else None
    if isinstance(part, ops.BatchNorm) and part.is_training:
        return _batch_norm(cell)
    if isinstance(part, WindowAttention):
        return cells.WindowAttention(part.masked)
    if isinstance(part, ChannelScale):
        return cells.ChannelScale()
    if isinstance(part, PlaneMean):
        return cells.PlaneMean()
    if isinstance(part, ChannelNormalization):
        return cells.ChannelNormalization(part.epsilon)
    if isinstance(part, ops.MaxPool):
        halves = part.kernel_size[-2:] == part.strides[-2:] == (2, 2) and part.pad_mode == "VALID"
        return cells.MaxPool() if halves else None
    if not isinstance(part, (ops.Conv2D, ops.Conv2DTranspose)):
        return None
    windows = _windows(part)
    if windows is None:
        return None
    depthwise = part.group > 1
    if depthwise and not (isinstance(cell, nn.Conv2d) and _is_depthwise(cell)):
        return None
    if isinstance(part, ops.Conv2DTranspose):
        return convolution_cells.Transposed(windows)
    if isinstance(cell, nn.Conv2d) and cell.has_bias:
        return convolution_cells.WithBias(convolution_cells.Biased(windows, depthwise))
    return convolution_cells.Convolution(windows, depthwise)


def _batch_norm(cell: object, relu: bool = False) -> Optional[nn.Cell]:
    """For the training of a batch normalisation; None: of other layouts, or replaced already."""
    if not isinstance(cell, nn.BatchNorm2d) or cell.format != "NCHW":
        return None
    part = cell.bn_train
    if not isinstance(part, ops.BatchNorm):
        return None
    return cells.BatchNorm(part.epsilon, part.momentum, relu=relu)


def _is_depthwise(cell: nn.Conv2d) -> bool:
    return cell.in_channels == cell.out_channels == cell.group and set(cell.dilation) == {1}


def _windows(primitive: ops.Primitive) -> Optional[convolution_cells.Windows]:
    """Of a convolution; None: one that the compiled operators do not compute."""
    if primitive.data_format != "NCHW":
        return None
    stride, dilation = tuple(primitive.stride[-2:]), tuple(primitive.dilation[-2:])
    rows, columns = (
        (k - 1) * d + 1 - s for k, d, s in zip(primitive.kernel_size, dilation, stride)
    )
    transposed = isinstance(primitive, ops.Conv2DTranspose)
    if min(rows, columns) < 0 if transposed else set(stride) != {1}:
        return None  # one side's size would not tell the other's
    padding = {
        "pad": tuple(primitive.pad),
        "valid": (0, 0, 0, 0),
        "same": (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2),
    }[primitive.pad_mode.lower()]
    return convolution_cells.Windows(stride, padding, dilation)

"""Linear degradations y = A x without noise, and their adjoints, in NumPy.

x and y are (N, C, H, W) arrays of images in [0, 1], and results have their dtype. Every A is a blur
followed by a sampling, A = S K:

- K correlates each channel with the kernel where the kernel lies inside the image ("valid"), so
  K x is smaller than x by one less than the kernel's size;
- S keeps some of the values of K x.

The adjoint A^T y = K^T S^T y puts y back into its places, with zeros between, and then applies the
full convolution, so that ``<A x, y> = <x, A^T y>``. ``cell()`` gives the same operator for the
device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Optional

import numpy as np
from scipy import fft
from scipy.ndimage import convolve

from ms_restore.degradations.kernels import fft_size
from ms_restore.errors import InputError

if TYPE_CHECKING:
    from mindspore import nn

    from ms_restore.degradations.device import OperatorCell

Size = tuple[int, int]
_POINT = np.ones((1, 1))
# How often values beyond the border are solved for in turn; with other numbers here, the deblurring
# test in tests/solvers/test_dpir.py gives 25.48 dB (1), 25.93 (3), 26.26 (10) and 26.44 (30)
_FILLINGS = 10


class Blur:
    """The blur y = K x, and base class of the other operators; with the default kernel y = x.

    Args:
        kernel: (kh, kw) with odd sides, as ``kernels.load`` gives it; None is a single 1.

    Raises:
        InputError: the kernel is no matrix with odd sides.
    """

    name = "blur"
    scale = 1

    def __init__(self, kernel: Optional[np.ndarray] = None) -> None:
        self.kernel = _POINT if kernel is None else np.asarray(kernel, np.float64)
        if self.kernel.ndim != 2 or not all(side % 2 for side in self.kernel.shape):
            raise InputError(
                f"kernel of shape {self.kernel.shape}: expected a matrix with odd sides; "
                "kernels.normalise pads it"
            )
        self._spectra: dict[tuple[Size, np.dtype], np.ndarray] = {}

    @property
    def half(self) -> Size:
        """Rows and columns by which x extends beyond K x on each side."""
        return self.kernel.shape[0] // 2, self.kernel.shape[1] // 2

    @property
    def energy(self) -> float:
        """The sum of the squares of the kernel's entries."""
        return float((self.kernel**2).sum())

    def blurred_size(self, height: int, width: int) -> Size:
        """Return the height and width of K x for a y of this size."""
        return height * self.scale, width * self.scale

    def input_size(self, height: int, width: int) -> Size:
        """Return the height and width of x for a y of this size."""
        rows, columns = self.blurred_size(height, width)
        return rows + 2 * self.half[0], columns + 2 * self.half[1]

    def check(self, height: int, width: int) -> None:
        """Raise InputError unless an x of this size is at least as large as the kernel."""
        kh, kw = self.kernel.shape
        if kh > height or kw > width:
            raise InputError(
                f"the kernel is {kh}x{kw} (rows x columns), larger than the image of "
                f"{height}x{width}; use a smaller kernel or a larger image"
            )

    def gain(self, y: np.ndarray) -> float:
        """Return the number of values of K x for each of y, by which the data term is scaled."""
        return 1.0

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return A x."""
        return self.sample(self.blur(x))

    def adjoint(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return A^T y; ``size`` is x's (height, width), by default ``input_size`` of y's."""
        if size is not None:
            size = (size[0] - 2 * self.half[0], size[1] - 2 * self.half[1])
        return self.blur_adjoint(self.spread(y, size))

    def sample(self, z: np.ndarray) -> np.ndarray:
        """Return S z, the values of the blurred image z that y holds."""
        return z

    def spread(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return S^T y, the values of y in their places in z, with zeros elsewhere.

        ``size`` is z's (height, width), by default ``blurred_size`` of y's.
        """
        return y

    def blur(self, x: np.ndarray) -> np.ndarray:
        """Return K x."""
        height, width = x.shape[-2:]
        self.check(height, width)
        if self.kernel.size == 1:
            return x * self.kernel.astype(x.dtype)[0, 0]
        lengths = fft_size(height, width)
        whole = fft.irfft2(fft.rfft2(x, lengths) * self._spectrum(lengths, x).conj(), lengths)
        rows, columns = (side - k + 1 for side, k in zip((height, width), self.kernel.shape))
        return whole[..., :rows, :columns]

    def blur_adjoint(self, z: np.ndarray) -> np.ndarray:
        """Return K^T z."""
        if self.kernel.size == 1:
            return z * self.kernel.astype(z.dtype)[0, 0]
        height, width = (side + k - 1 for side, k in zip(z.shape[-2:], self.kernel.shape))
        lengths = fft_size(height, width)
        whole = fft.irfft2(fft.rfft2(z, lengths) * self._spectrum(lengths, z), lengths)
        return whole[..., :height, :width]

    def _spectrum(self, lengths: Size, x: np.ndarray) -> np.ndarray:
        key = (lengths, x.dtype)
        if key not in self._spectra:
            precision = np.complex64 if x.dtype == np.float32 else np.complex128
            self._spectra[key] = fft.rfft2(self.kernel, lengths).astype(precision)
        return self._spectra[key]

    def proximal(self, z: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
        """Return the x that minimises |A x - y|^2 + alpha |x - z|^2, in closed form.

        Without a blur this is exact, pixel by pixel. Otherwise the image is taken as periodic, so
        that the blur is a product in the frequency domain. Values of K x that y does not hold are
        first those of K z, and then, a few times, of the solution itself.
        """
        known = self.spread(np.ones_like(y))
        if self.kernel.size == 1:
            weight = self.kernel.astype(z.dtype)[0, 0]
            return (weight * self.spread(y) + alpha * z) / (weight**2 * known + alpha)
        size = (z.shape[-2], z.shape[-1])
        transform, spectrum = fft.rfft2(z), self._spectrum(size, z)
        energy = spectrum.real**2 + spectrum.imag**2 + alpha
        rows, columns = known.shape[-2:]
        held, solved = self.spread(y), transform
        for _ in range(_FILLINGS):
            blurred = fft.irfft2(solved * spectrum.conj(), size)
            inside = blurred[..., :rows, :columns]
            inside[...] = np.where(known > 0, held, inside)
            solved = (spectrum * fft.rfft2(blurred) + alpha * transform) / energy
        return fft.irfft2(solved, size)

    def start(self, y: np.ndarray) -> np.ndarray:
        """Return a first x for a solver, in y's dtype.

        Values that y lacks are filled, from the known ones outwards, with the mean of the known
        values in a 3x3 neighbourhood; then the edges are repeated up to x's size.
        """
        known = self.spread(np.ones_like(y))
        filled = self.spread(y)
        while not known.all():
            total = _sum3x3(filled * known)
            count = _sum3x3(known)
            near = (known == 0) & (count > 0)
            if not near.any():
                break  # a channel without any known value
            filled = np.where(near, total / np.maximum(count, 1), filled)
            known = np.where(near, 1, known)
        rows, columns = self.half
        edges = [(0, 0), (0, 0), (rows, rows), (columns, columns)]
        return np.pad(filled, edges, mode="edge").astype(y.dtype)

    def cell(self, height: int, width: int) -> OperatorCell:
        """Return the operator as a float32 cell for the device, for x of this size."""
        from ms_restore.degradations.device import OperatorCell

        return OperatorCell(self.kernel, height, width)

    def held(self, y: np.ndarray, size: Size) -> np.ndarray:
        """Return y as ``proximal_cell`` takes it: its values in their places in K x, else 0.

        The blurred image is continued with zeros to ``size``, that of x.
        """
        z = self.spread(y)
        borders = [(0, side - length) for side, length in zip(size, z.shape[-2:])]
        return np.pad(z, [(0, 0), (0, 0), *borders])

    def proximal_cell(self, y: np.ndarray, size: Size) -> nn.Cell:
        """Return ``proximal`` for the device, for y of this shape and x of this size."""
        from ms_restore.degradations import device_proximal

        known = self.held(np.ones_like(y[:1]), size)
        if self.kernel.size == 1:
            return device_proximal.PointProximal(float(self.kernel[0, 0]), known)
        return device_proximal.BlurProximal(self.kernel, known, _FILLINGS)


class BlurDownsample(Blur):
    """Blur and downsampling: y is every ``scale``-th row and column of K x, from the first.

    Args:
        kernel: as of ``Blur``.
        scale: 1, 2, 3, ...

    Raises:
        InputError: the kernel or the scale is not as described.
    """

    name = "blur and downsampling"

    def __init__(self, kernel: Optional[np.ndarray], scale: int) -> None:
        super().__init__(kernel)
        if scale < 1:
            raise InputError(f"scale {scale}: expected 1, 2, 3, ...")
        self.scale = scale

    def gain(self, y: np.ndarray) -> float:
        """Return the square of the scale."""
        return float(self.scale**2)

    def sample(self, z: np.ndarray) -> np.ndarray:
        """Return every ``scale``-th row and column of z."""
        return z[..., :: self.scale, :: self.scale]

    def spread(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return y in every ``scale``-th row and column, with zeros between."""
        z = np.zeros((*y.shape[:-2], *(size or self.blurred_size(*y.shape[-2:]))), y.dtype)
        z[..., :: self.scale, :: self.scale] = y
        return z

    def proximal(self, z: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
        """Return the x that minimises |A x - y|^2 + alpha |x - z|^2, in closed form.

        Zhao et al., "Fast Single Image Super-Resolution Using a New Analytical Solution for l2-l2
        Problems", IEEE TIP 2016: the frequencies that sampling folds onto each other are solved
        together, here as x = z + A^T (A A^T + alpha)^-1 (y - A z). The image is continued by
        reflection to a multiple of the scale and taken as periodic, and values beyond y's borders
        are found as those of a blur.
        """
        scale, (height, width) = self.scale, z.shape[-2:]
        below, beside = -height % scale, -width % scale
        edges = [(0, 0)] * (z.ndim - 2) + [(0, below), (0, beside)]
        z = np.pad(z, edges, mode=self._edges((height, width)))
        size = (z.shape[-2], z.shape[-1])
        kernel = fft.fft2(self.kernel, size).astype(np.complex64)
        energy = self._folded(abs(kernel) ** 2)  # of A A^T, which is diagonal in frequency
        before = fft.ifft2(fft.fft2(z) * kernel.conj()).real[..., ::scale, ::scale]  # A z
        after = before
        for _ in range(_FILLINGS if self.kernel.size > 1 else 1):
            samples = after.copy()
            samples[..., : y.shape[-2], : y.shape[-1]] = y
            solved = fft.fft2(samples - before) / (energy + alpha)
            after = before + fft.ifft2(energy * solved).real
        x = z + fft.ifft2(kernel * np.tile(solved, (scale, scale))).real
        return x[..., :height, :width].astype(z.dtype)

    def _folded(self, spectrum: np.ndarray) -> np.ndarray:
        """Return the mean of the frequencies that sampling folds onto each other."""
        *leading, height, width = spectrum.shape
        scale = self.scale
        parts = spectrum.reshape(*leading, scale, height // scale, scale, width // scale)
        return parts.mean(axis=(-4, -2))

    def cell(self, height: int, width: int) -> OperatorCell:
        """Return the operator as a float32 cell for the device, for x of this size."""
        from ms_restore.degradations.device import DownsampleCell

        return DownsampleCell(self.kernel, height, width, self.scale)

    def held(self, y: np.ndarray, size: Size) -> np.ndarray:
        """Return y, continued with zeros to all samples of an x of this size."""
        borders = [(0, -(-side // self.scale) - n) for side, n in zip(size, y.shape[-2:])]
        return np.pad(y, [(0, 0), (0, 0), *borders])

    def proximal_cell(self, y: np.ndarray, size: Size) -> nn.Cell:
        """Return ``proximal`` for the device, for y of this shape and x of this size."""
        from ms_restore.degradations import device_proximal

        known = self.held(np.ones_like(y[:1, :1]), size)
        fillings = _FILLINGS if self.kernel.size > 1 else 1
        return device_proximal.DownsampleProximal(
            self.kernel, size, known, self.scale, fillings, self._edges(size)
        )

    def _edges(self, size: Size) -> Literal["reflect", "edge"]:
        """How an image is continued to a multiple of the scale."""
        return "reflect" if min(size) > self.scale else "edge"


class Mask(Blur):
    """Mask: y = m K x, where the mask m is 1 for known pixels and 0 for unknown ones.

    Args:
        mask: (H, W), true or not 0 where the image is known.
        kernel: of a blur before the mask, as of ``Blur``.

    Raises:
        InputError: the mask is no matrix, or no pixel is known.
    """

    name = "mask"

    def __init__(self, mask: np.ndarray, kernel: Optional[np.ndarray] = None) -> None:
        super().__init__(kernel)
        if mask.ndim != 2 or not mask.any():
            raise InputError(
                f"mask of shape {mask.shape} with {int(np.count_nonzero(mask))} known pixels: "
                "expected a matrix (height, width) with at least one"
            )
        self.mask = (mask != 0).astype(np.float64)

    def gain(self, y: np.ndarray) -> float:
        """Return the number of pixels for each known one."""
        return float(self.mask.size / self.mask.sum())

    def sample(self, z: np.ndarray) -> np.ndarray:
        """Return z with its unknown pixels set to 0; raise InputError unless sizes agree."""
        if z.shape[-2:] != self.mask.shape:
            (height, width), (rows, columns) = z.shape[-2:], self.mask.shape
            raise InputError(
                f"the mask is {columns}x{rows}, the image {width}x{height} (width x height); "
                "they must have the same size"
            )
        return z * self.mask.astype(z.dtype)

    def spread(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return y with its unknown pixels set to 0."""
        return self.sample(y)

    def cell(self, height: int, width: int) -> OperatorCell:
        """Return the operator as a float32 cell for the device, for x of this size."""
        from ms_restore.degradations.device import MaskCell

        return MaskCell(self.kernel, height, width, self.mask[None, None])


def _sum3x3(z: np.ndarray) -> np.ndarray:
    return convolve(z, np.ones((1, 1, 3, 3)), mode="constant")

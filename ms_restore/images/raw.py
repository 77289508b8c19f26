"""Raw files of cameras, decoded by LibRaw through rawpy into packed mosaics or developed pictures.

Colour pattern, black and white level, visible area, exposure and orientation are read from the
file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.errors import InputError
from ms_restore.images import native_messages, raw_structure
from ms_restore.images.mosaic import KINDS, Mosaic, VisibleArea
from ms_restore.limits import check_pixels

SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq"),
    *(".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
    *(".rwl", ".sr2", ".srf", ".srw"),
)
NEEDED = "pip install 'ms-restore[raw]'"
_RAF, _RAF_MODEL = b"FUJIFILMCCD-RAW", slice(28, 60)
_MODEL, _EXPOSURE, _EXIF = 272, 33434, 34665  # TIFF tags
_COMPLAINT = re.compile(r": (Unexpected end of file|data corrupted at \d+)$")
_TURNS = {0: 0, 3: 2, 5: 1, 6: 3}  # LibRaw's flip codes as counter-clockwise quarter turns


@dataclasses.dataclass(frozen=True)
class RawFrame:
    """The packed mosaic of a raw file, ready for a network.

    Attributes:
        planes: (channels, h, w) uint16, with the black level subtracted and clipped at 0.
        ranges: difference of the white and the black level, for each channel.
        frame: where the visible area lies in the unpacked planes.
        turns: counter-clockwise quarter turns that bring the picture upright.
        exposure: exposure time in seconds, or None if the file does not give it.
        camera: model name of the camera, or None if the file does not give it.
    """

    planes: np.ndarray
    ranges: list[int]
    frame: VisibleArea
    turns: int
    exposure: Optional[float]
    camera: Optional[str]

    def amplify(self, ratio: float) -> np.ndarray:
        """Return the planes (h, w, channels) float32 in [0, 1], amplified by a ratio."""
        return amplify(self.planes, self.ranges, ratio).transpose(1, 2, 0)


def amplify(planes: np.ndarray, ranges: list[int], ratio: float) -> np.ndarray:
    """Return planes (channels, h, w) as float32 in [0, 1], amplified and clipped at 1.

    Args:
        planes: uint16, with the black level subtracted.
        ranges: difference of the white and the black level, for each channel.
        ratio: the amplification.
    """
    factors = np.float32(ratio) / np.array(ranges, np.float32)
    y = planes * factors[:, None, None]
    return np.minimum(y, 1, out=y)


def read(path: Path, mosaic: Mosaic) -> RawFrame:
    """Return the packed mosaic of a raw file.

    Raises InputError for a file that is not raw or is damaged, for a sensor with another mosaic,
    and where rawpy is not installed.
    """
    with _open_raw(path) as raw:
        visible = raw.raw_image_visible
        indices, colours = _colours(path, raw, mosaic)
        frame = _frame(path, mosaic, colours, visible.shape)
        planes = mosaic.pack(frame.extend(visible, mosaic.period))
        blacks, blocks = raw.black_level_per_channel, mosaic.period // mosaic.block
        ranges = [0] * mosaic.channels
        for site in mosaic.sites():
            at = (site.row - frame.top) % mosaic.period, (site.column - frame.left) % mosaic.period
            black = blacks[indices[at]]
            part = planes[site.channel, site.block_row :: blocks, site.block_column :: blocks]
            np.maximum(part, black, out=part)
            part -= np.uint16(black)
            ranges[site.channel] = int(raw.white_level) - black
        if min(ranges) <= 0:
            raise InputError(
                f"{path}: white level {raw.white_level} is not above the black level {blacks}"
            )
        turns = _TURNS.get(raw.sizes.flip, 0)
        return RawFrame(planes, ranges, frame, turns, _exposure(path, raw), _camera(path))


def develop(path: Path, mosaic: Mosaic) -> tuple[np.ndarray, VisibleArea]:
    """Return a raw file developed by LibRaw, (H, W, 3) uint16, and its visible area.

    The picture has the camera's white balance, no automatic brightness, the gamma of BT.709 and
    sRGB colours, like the targets of Chen et al. 2018; it is not turned upright. Raises InputError
    as ``read`` does.
    """
    with _open_raw(path) as raw:
        _, colours = _colours(path, raw, mosaic)
        frame = _frame(path, mosaic, colours, raw.raw_image_visible.shape)
        with _one_thread():
            picture = raw.postprocess(
                use_camera_wb=True,
                half_size=False,
                no_auto_bright=True,
                output_bps=16,
                user_flip=0,
            )
    if picture.shape[:2] != (frame.height, frame.width):
        raise InputError(
            f"{path}: developed to {picture.shape[1]}x{picture.shape[0]} pixels, but its raw "
            f"pixels are {frame.width}x{frame.height}; such files are not supported"
        )
    return picture, frame


def size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the visible area from a raw file's header.

    Raises InputError as ``read`` does.
    """
    with _open_raw(path) as raw:
        return raw.sizes.height, raw.sizes.width


def exposure(path: Path) -> Optional[float]:
    """Return the exposure time in seconds from a raw file's header, or None.

    Raises InputError as ``read`` does.
    """
    with _open_raw(path) as raw:
        return _exposure(path, raw)


@contextlib.contextmanager
def _open_raw(path: Path) -> Iterator[Any]:
    rawpy = _rawpy(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    raw_structure.check(path)
    try:
        with native_messages.kept(_is_complaint) as heard:
            with rawpy.imread(str(path)) as raw:
                check_pixels(path, raw.sizes.raw_height, raw.sizes.raw_width)
                yield raw
            # LibRaw goes on with black or noise after these
            complaints = [line for line in heard() if line.startswith(f"{path}: ")]
    except rawpy.LibRawFileUnsupportedError:
        raise InputError(
            f"{path}: not a raw file that LibRaw {'.'.join(map(str, rawpy.libraw_version))} can "
            "read; expected one of a camera, such as .ARW, .RAF or .DNG"
        ) from None
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise InputError(f"{path}: damaged or truncated raw file ({text})") from None
    except MemoryError:
        raise InputError(f"{path}: too large for the memory that is free") from None
    if complaints:
        reason = complaints[0].removeprefix(f"{path}: ")
        raise InputError(f"{path}: damaged or truncated raw file ({reason}); copy it again")


def _is_complaint(line: str) -> bool:
    """Return whether a line is LibRaw's about damaged data."""
    return bool(_COMPLAINT.search(line))


def _one_thread() -> Any:
    """Limit OpenMP to one thread, as LibRaw's development of X-Trans varies with several.

    Its threads race where their tiles overlap. LibRaw uses the OpenMP library that was loaded
    first, so every one is limited.
    """
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1, user_api="openmp")


def _rawpy(path: Path) -> Any:
    try:
        import rawpy
    except ImportError:
        raise InputError(f"{path}: reading raw files needs rawpy; {NEEDED}") from None
    return rawpy


def _colours(path: Path, raw: Any, mosaic: Mosaic) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of the first pixels, as LibRaw numbers them and as ``mosaic`` does."""
    if raw.raw_pattern is None:
        raise InputError(f"{path}: its pixels are no mosaic, expected one of {mosaic.name}")
    side = max(kind.period for kind in KINDS.values())
    indices = raw.raw_colors_visible[:side, :side]
    letters = raw.color_desc.decode("latin1")
    if indices.size == 0 or indices.max() >= len(letters):
        raise InputError(f"{path}: its colours are unknown, expected those of {mosaic.name}")
    colours = np.array(["RGB".find(letter) % 256 for letter in letters])
    return indices, colours[indices]


def _frame(path: Path, mosaic: Mosaic, colours: np.ndarray, shape: tuple[int, ...]) -> VisibleArea:
    try:
        return VisibleArea.of(mosaic, colours, shape[0], shape[1])
    except InputError as error:
        matching = [kind.name for kind in KINDS.values() if kind.matches(colours)]
        if not matching:
            raise InputError(f"{path}: {error}, which the model takes") from None
    raise InputError(
        f"{path}: of a sensor with {matching[0]}, but the model takes {mosaic.name}; sid_sony is "
        "for Bayer, sid_fuji for X-Trans"
    )


def _exposure(path: Path, raw: Any) -> Optional[float]:
    try:
        seconds = float(raw.other.shutter_speed)
    except AttributeError:  # before rawpy 0.27
        above, below = _tag(path, _EXPOSURE) or (0, 1)
        seconds = above / below if below else 0.0
    return seconds if 0 < seconds < float("inf") else None


def _camera(path: Path) -> Optional[str]:
    with path.open("rb") as file:
        head = file.read(_RAF_MODEL.stop)
    if head.startswith(_RAF):
        return head[_RAF_MODEL].split(b"\0")[0].decode("ascii", "replace")
    model = _tag(path, _MODEL)
    return None if model is None else str(model).strip()


def _tag(path: Path, number: int) -> Any:
    """Return a tag of the header, or None; only for files based on TIFF, as most are."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a header in doubt has no such tag
    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            if number in tags:
                return tags[number].value
            exif = tags[_EXIF].value if _EXIF in tags else {}
            return exif.get(tifffile.TIFF.EXIF_TAGS.get(number, ""))
    except Exception:  # tifffile raises many types for a damaged header
        return None

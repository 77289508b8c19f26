"""Reading of weight files of other frameworks as arrays by name."""

from __future__ import annotations

import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from ms_restore.array_files import read_npz
from ms_restore.errors import InputError, comma_list
from ms_restore.limits import check_elements
from ms_restore.weights import matconvnet

Arrays = dict[str, np.ndarray]
_HOLDERS = (  # keys under which training programs keep the state dict
    *("params_ema", "params", "state_dict", "model_state_dict", "model_state", "model", "net"),
    *("net_g", "netG", "generator", "network", "weights", "ema", "module"),
)
_DEEPEST = 4  # holders within each other


def is_foreign(path: Path) -> bool:
    """Return whether a file is one of those that ``read`` takes."""
    return _reader(path) is not None


def _reader(path: Path) -> Optional[Callable[[Path], Arrays]]:
    name = path.name.lower()
    for suffix, reader in _readers().items():
        if name.endswith(suffix):
            return reader
    # PyTorch Lightning gives its files the suffix of MindSpore's
    return _torch if name.endswith(".ckpt") and zipfile.is_zipfile(path) else None


def _readers() -> dict[str, Callable[[Path], Arrays]]:
    return {
        ".pth": _torch,
        ".pt": _torch,
        ".bin": _torch,
        ".pth.tar": _torch,
        ".safetensors": _safetensors,
        ".npz": _npz,
        ".mat": matconvnet.read,
    }


def read(path: Path) -> Arrays:
    """Return the arrays of a file of PyTorch, safetensors, NumPy or MatConvNet (.mat), by name.

    Raises InputError for a file that is missing, damaged, holds anything but arrays, or holds NaN
    or infinity, and where the package that reads it is not installed.
    """
    reader = _reader(path)
    if reader is None:
        raise InputError(
            f"{path}: {path.suffix or 'no suffix'}; expected {comma_list(_readers(), 9)}"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    arrays = reader(path)
    if not arrays:
        raise InputError(f"{path}: no weights in it")
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise InputError(
            f"{path}: NaN or infinity in {comma_list(broken)}; these weights cannot be used"
        )
    return arrays


def without_prefixes(arrays: Arrays) -> Iterator[Arrays]:
    """Yield the arrays as they are named, then without the first word that all names share, etc.

    Wrappers of PyTorch put such a word before every name: ``module.``, ``_orig_mod.``, ``model.``,
    ``generator.``
    """
    while True:
        yield arrays
        first = {name.partition(".")[0] for name in arrays}
        if len(first) != 1 or not all("." in name for name in arrays):
            return
        arrays = {name.partition(".")[2]: array for name, array in arrays.items()}


def one_network(path: Path, arrays: Arrays, sigma_255: Optional[float]) -> Arrays:
    """Return the arrays of one network, the only one, or of IRCNN's the one for a noise level.

    Such a file holds networks for the standard deviations 2, 4, 6, ...; as the authors do, the next
    one up is taken. ``read`` begins the names with the number of the network, from 0.

    Raises InputError where there are several, and ``sigma_255`` is none of theirs.
    """
    numbers = {name.partition(".")[0] for name in arrays}
    if len(numbers) < 2 or not all(re.fullmatch(r"\d+\.[^.]+\..+", name) for name in arrays):
        return arrays
    highest = 2 * len(numbers)
    if sigma_255 is None or not 0 < sigma_255 <= highest:
        raise InputError(
            f"{path}: {len(numbers)} networks, for noise of sigma 2, 4, ..., {highest} (of 255); "
            "convert the one that you need by --degradation.sigma_255"
        )
    before = f"{math.ceil(sigma_255 / 2) - 1}."
    return {n.removeprefix(before): array for n, array in arrays.items() if n.startswith(before)}


def _torch(path: Path) -> Arrays:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading it needs PyTorch (pip install torch); or save it as .safetensors"
        ) from None
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with the file is said in one line
            content = torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "GLOBAL" in str(error) or "Unsupported" in str(error)
        raise InputError(
            f"{path}: it holds more than weights, and loading that could run code; save the "
            "network's state_dict() alone"
            if reason
            else f"{path}: not a PyTorch file, or a damaged one"
        ) from None
    except InputError:
        raise
    except Exception:  # PyTorch raises many types for a file that it cannot parse
        raise InputError(f"{path}: not a PyTorch file, or a damaged one") from None
    tensors = _tensors(path, content)
    # A tensor can declare any size over a storage of a few bytes, by strides of 0
    check_elements(path, (sum(tensor.numel() for tensor in tensors.values()),), "weights")
    try:
        return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}
    except (RuntimeError, TypeError) as error:  # sparse, quantised, complex
        line = str(error).partition("\n")[0]
        raise InputError(f"{path}: its tensors are no plain numbers ({line})") from None


def _check_archive(path: Path) -> None:
    """Raise InputError where a file of PyTorch declares more bytes than the limit allows."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
        check_elements(path, (declared // 4,), "weights")


def _tensors(path: Path, content: Any) -> dict[str, Any]:
    """Return the state dict, taken out of the dicts in which training programs save it.

    Of several networks under the keys "0", "1", ..., all names begin with that of their network.
    """
    import torch

    for _ in range(_DEEPEST):
        if not _is_dict(content) or all(isinstance(v, torch.Tensor) for v in content.values()):
            break
        inner = next((content[k] for k in _HOLDERS if _is_dict(content.get(k))), None)
        content = content if inner is None else inner
    if _is_dict(content) and all(_is_dict(v) and str(k).isdigit() for k, v in content.items()):
        content = {f"{k}.{name}": value for k, v in content.items() for name, value in v.items()}
    if not _is_dict(content) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        keys = f"; it holds {comma_list(map(str, content))}" if _is_dict(content) else ""
        raise InputError(f"{path}: no state dict, that is tensors by name{keys}")
    return {str(name): tensor for name, tensor in content.items()}


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _safetensors(path: Path) -> Arrays:
    try:
        from safetensors.numpy import load_file
    except ImportError:
        raise InputError(f"{path}: {missing_package('safetensors')}") from None
    try:
        return {name: np.asarray(x, np.float32) for name, x in load_file(str(path)).items()}
    except Exception as error:  # the package raises many types for a damaged file
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a safetensors file, or a damaged one ({reason})") from None


def missing_package(package: str) -> str:
    """Return the message for a package that is not installed."""
    return f"this format needs the package {package}: pip install 'ms-restore[convert]'"


def _npz(path: Path) -> Arrays:
    return {name: np.asarray(array, np.float32) for name, array in read_npz(path).items()}

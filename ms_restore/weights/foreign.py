"""Reading of weight files of other frameworks as arrays by name."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ms_restore.errors import InputError, comma_list

Arrays = dict[str, np.ndarray]
_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")


def read(path: Path) -> Arrays:
    """Return the arrays of a .pth, .pt, .safetensors, .npz or MatConvNet .mat file, by name.

    Raises InputError for a file that is missing, damaged, holds anything but arrays, or holds NaN
    or infinity, and where the package that reads it is not installed.
    """
    readers: dict[str, Callable[[Path], Arrays]] = {
        ".pth": _torch,
        ".pt": _torch,
        ".safetensors": _safetensors,
        ".npz": _npz,
        ".mat": _matconvnet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: {path.suffix or 'no suffix'}; expected {comma_list(readers, 9)}")
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


def _torch(path: Path) -> Arrays:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading it needs PyTorch (pip install torch); or save it as .safetensors"
        ) from None
    try:
        content = torch.load(str(path), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "GLOBAL" in str(error) or "Unsupported" in str(error)
        raise InputError(
            f"{path}: it holds more than weights, and loading that could run code; save the "
            "network's state_dict() alone"
            if reason
            else f"{path}: not a PyTorch file, or a damaged one"
        ) from None
    except Exception:  # PyTorch raises many types for a file that it cannot parse
        raise InputError(f"{path}: not a PyTorch file, or a damaged one") from None
    return {
        name: tensor.detach().float().numpy() for name, tensor in _tensors(path, content).items()
    }


def _tensors(path: Path, content: Any) -> dict[str, Any]:
    """Return the state dict, unwrapped from the dicts in which training scripts save it."""
    import torch

    for _ in range(2):
        inner = next((content[k] for k in _WRAPPERS if _is_dict(content) and k in content), None)
        content = inner if _is_dict(inner) else content
    if not _is_dict(content) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        keys = f"; it holds {comma_list(map(str, content))}" if _is_dict(content) else ""
        raise InputError(f"{path}: no state dict, that is tensors by name{keys}")
    return {str(name): tensor for name, tensor in content.items()}


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _safetensors(path: Path) -> Arrays:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise InputError(f"{path}: {missing_package('safetensors')}") from None
    try:
        return {name: np.asarray(x, np.float32) for name, x in load_file(str(path)).items()}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a safetensors file, or a damaged one ({error})") from None


def missing_package(package: str) -> str:
    """Return the message for a package that is not installed."""
    return f"this format needs the package {package}: pip install 'ms-restore[convert]'"


def _npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], np.float32) for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not an .npz of plain arrays, or a damaged one ({error})"
        ) from None


def _matconvnet(path: Path) -> Arrays:
    """Return the convolutions of a MatConvNet network, saved as cell array ``net``.

    They are named layers.N.weight and layers.N.bias. MatConvNet's filters (width, height, in, out)
    are returned as (out, in, height, width).
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except NotImplementedError:
        raise InputError(f"{path}: MATLAB 7.3; save it with -v7") from None
    except Exception as error:  # SciPy raises many types for a file that it cannot parse
        raise InputError(f"{path}: not a MATLAB file, or a damaged one ({error})") from None
    network = content.get("net")
    if network is None or network.dtype != object:
        names = comma_list(name for name in content if not name.startswith("__"))
        raise InputError(
            f"{path}: no cell array 'net' of MatConvNet layers in it; it holds {names}"
        )
    arrays: Arrays = {}
    convolutions = 0
    for number, layer in enumerate(network.ravel()):
        kind = str(layer["type"][0, 0].item())
        expected = "relu" if number % 2 else "conv"
        if kind != expected or (kind == "relu" and layer["leak"][0, 0].any()):
            raise InputError(f"{path}: layer {number + 1} is {kind}, expected {expected}")
        if kind == "conv":
            weight, bias = layer["weights"][0, 0].ravel()
            weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
            arrays[f"layers.{convolutions}.weight"] = weight.transpose(3, 2, 1, 0)
            arrays[f"layers.{convolutions}.bias"] = bias.ravel()
            convolutions += 1
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}

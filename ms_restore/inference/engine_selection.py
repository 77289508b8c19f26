"""Selection of the engine that computes a network, as ``--engine`` names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional, Union

from ms_restore.errors import InputError, did_you_mean

ENGINES = ("auto", "mindspore", "mindir", "onnxruntime", "ncnn", "lite", "om")
MEASURED = ("mindspore", "mindir", "onnxruntime", "ncnn")
"""The engines that ``benchmark`` compares: those that take any network as it is in memory."""
_ENGINES_BY_SUFFIX = {  # the first is the customary one
    ".mindir": ("mindir", "lite"),
    ".onnx": ("onnxruntime",),
    ".param": ("ncnn",),
    ".om": ("om",),
    ".ms": (),
}
_HOST_ENGINES = ("onnxruntime", "ncnn", "lite", "om")  # not on the device that MindSpore has


class EngineOptions(NamedTuple):
    """The engine and device that compute a network.

    Attributes:
        engine: one of ``ENGINES``; "auto" chooses by the file and what is installed.
        device_target: "CPU", "Ascend" or "GPU" (of ncnn: by Vulkan); None is an Ascend if there is
            one, else the CPU.
        device_id: number of the device.
        mode: "graph" or "pynative", for MindSpore.
        seed: for MindSpore's random numbers.
    """

    engine: str = "auto"
    device_target: Optional[str] = None
    device_id: Optional[int] = None
    mode: str = "graph"
    seed: int = 0

    def checked(self) -> EngineOptions:
        """Return these options; raise InputError for an unknown engine or an unsuitable device."""
        if self.engine not in ENGINES:
            hint = did_you_mean(self.engine, ENGINES) or f"; choose {', '.join(ENGINES)}"
            raise InputError(f"unknown engine {self.engine!r}{hint}")
        from ms_restore.seeds import SEEDS  # with NumPy, for which --help does not wait

        if not 0 <= self.seed < SEEDS:
            raise InputError(f"seed: got {self.seed}, expected 0 to {SEEDS - 1}")
        if self.engine == "onnxruntime" and self.device_target not in (None, "CPU"):
            raise InputError(
                f"engine onnxruntime computes on the CPU, not on {self.device_target}; "
                "leave --engine or --device_target out"
            )
        if self.engine == "ncnn" and self.device_target == "Ascend":
            raise InputError(
                "engine ncnn computes on the CPU, or on a GPU by Vulkan, not on Ascend; leave "
                "--engine or --device_target out"
            )
        if self.engine == "om" and self.device_target not in (None, "Ascend"):
            raise InputError(
                f"engine om computes on an Ascend or Atlas, not on {self.device_target}; "
                "leave --engine or --device_target out"
            )
        return self

    @property
    def vulkan(self) -> Optional[int]:
        """Number of the GPU on which ncnn computes; None: it computes on the CPU."""
        return (self.device_id or 0) if self.device_target == "GPU" else None

    def device(self) -> Optional[str]:
        """Return MindSpore's device: the CPU where another engine computes the network."""
        return "CPU" if self.engine in _HOST_ENGINES else self.device_target


def to_measure(engines: Union[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the engines that ``benchmark`` is to compare, each once, in the order given.

    Args:
        engines: names of ``MEASURED``, or one of them; "all" stands for all of them.

    Raises:
        InputError: there is no such engine, it is not one that is compared, or none is named.
    """
    names = [engines] if isinstance(engines, str) else engines
    if not isinstance(names, (list, tuple)) or not names:
        raise InputError(f"engines: got {engines!r}, expected all, or of {', '.join(MEASURED)}")
    for name in names:
        if name in ENGINES and name not in MEASURED:
            raise InputError(
                f"engine {name} is not compared; choose all, or of {', '.join(MEASURED)}"
            )
        if name not in (*MEASURED, "all"):
            hint = did_you_mean(str(name), MEASURED) or f"; choose all, or of {', '.join(MEASURED)}"
            raise InputError(f"unknown engine {name!r}{hint}")
    return MEASURED if "all" in names else tuple(dict.fromkeys(names))


def is_exported(path: Path) -> bool:
    """Return whether the path's suffix is that of an exported file, not of a checkpoint."""
    return path.suffix in _ENGINES_BY_SUFFIX


def check_checkpoint(path: Path, engine: str) -> None:
    """Raise InputError for an engine that takes no checkpoint, and for half of ncnn's files."""
    if path.name.endswith(".ncnn.bin"):
        raise InputError(f"{path}: the weights of an ncnn model; name {path.stem}.param beside it")
    if engine == "om":
        raise InputError(
            f"{path}: engine om takes .om files alone; export the checkpoint (--file_format ONNX) "
            "and convert that by scripts/convert_om.sh"
        )


def engine_for_file(path: Path, engine: str) -> str:
    """Return the engine for an exported file; raise InputError if the given one does not take it.

    "auto" is the first engine that takes files with this suffix.
    """
    suitable = _ENGINES_BY_SUFFIX[path.suffix]
    if not suitable:
        raise InputError(
            f"{path}: MindSpore Lite takes no {path.suffix} file from Python, MINDIR alone; "
            "convert the .mindir with --saveType=MINDIR, as scripts/run_infer_310.sh does"
        )
    if engine == "auto":
        return suitable[0]
    if engine not in suitable:
        raise InputError(
            f"{path}: engine {engine} takes no {path.suffix} file; use --engine "
            f"{' or '.join(suitable)}, or name the checkpoint, which every engine takes"
        )
    return engine

"""Which engine computes a network: the names of ``--engine``, and what goes with what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

from ms_restore.errors import InputError, did_you_mean

ENGINES = ("auto", "mindspore", "mindir", "onnxruntime", "lite", "om")
_OF_FILE = {  # the first is the customary one
    ".mindir": ("mindir", "lite"),
    ".onnx": ("onnxruntime",),
    ".om": ("om",),
    ".ms": (),
}
_HOST = ("onnxruntime", "lite", "om")  # they do not use the device that MindSpore has


class EngineOptions(NamedTuple):
    """By what and where a network is computed, as the verbs' options of these names say it."""

    engine: str = "auto"
    device_target: Optional[str] = None
    device_id: Optional[int] = None
    mode: str = "graph"
    seed: int = 0

    def checked(self) -> EngineOptions:
        """InputError for an engine that there is not, or that does not run on the device."""
        if self.engine not in ENGINES:
            hint = did_you_mean(self.engine, ENGINES) or f"; choose {', '.join(ENGINES)}"
            raise InputError(f"unknown engine {self.engine!r}{hint}")
        if self.engine == "onnxruntime" and self.device_target not in (None, "CPU"):
            raise InputError(
                f"engine onnxruntime computes on the CPU, not on {self.device_target}; "
                "leave --engine or --device_target out"
            )
        if self.engine == "om" and self.device_target not in (None, "Ascend"):
            raise InputError(
                f"engine om computes on an Ascend or Atlas, not on {self.device_target}; "
                "leave --engine or --device_target out"
            )
        return self

    def device(self) -> Optional[str]:
        """The device for MindSpore itself, which needs none where another computes."""
        return "CPU" if self.engine in _HOST else self.device_target


def is_exported(path: Path) -> bool:
    """Whether the name is that of an exported file, not of a checkpoint."""
    return path.suffix in _OF_FILE


def check_checkpoint(path: Path, engine: str) -> None:
    """Raise InputError for an engine that takes no checkpoint."""
    if engine == "om":
        raise InputError(
            f"{path}: engine om takes .om files alone; export the checkpoint (--file_format ONNX) "
            "and convert that by scripts/convert_om.sh"
        )


def of_file(path: Path, engine: str) -> str:
    """The engine for an exported file; InputError where the one that is asked for takes no such."""
    takes = _OF_FILE[path.suffix]
    if not takes:
        raise InputError(
            f"{path}: MindSpore Lite takes no {path.suffix} file from Python, MINDIR alone; "
            "convert the .mindir with --saveType=MINDIR, as scripts/run_infer_310.sh does"
        )
    if engine == "auto":
        return takes[0]
    if engine not in takes:
        raise InputError(
            f"{path}: engine {engine} takes no {path.suffix} file; use --engine "
            f"{' or '.join(takes)}, or name the checkpoint, which every engine takes"
        )
    return engine

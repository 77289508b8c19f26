"""Ascend devices of this machine, and whether the MindSpore and the CANN that are here fit them.

Importing this module loads nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError, comma_list

DEVICE_FOLDER = Path("/dev")  # Ascend's driver makes davinci0, davinci1, ... here
INSTALL = "https://www.mindspore.cn/install"
SET_ENV = (  # where CANN puts it by default: from 8.5 on, and before
    Path("/usr/local/Ascend/cann/set_env.sh"),
    Path("/usr/local/Ascend/ascend-toolkit/set_env.sh"),
)
_FITTING = ("8.2", "8.3", "8.5", "9.0", "9.1")  # what the wheel of MindSpore 2.10 lists


def devices(folder: Path = DEVICE_FOLDER) -> list[int]:
    """Return the numbers of the Ascend devices in the folder of devices."""
    names = [re.fullmatch(r"davinci(\d+)", path.name) for path in folder.glob("davinci*")]
    return sorted(int(name.group(1)) for name in names if name)


def logical(numbers: list[int], folder: Path = DEVICE_FOLDER) -> list[int]:
    """Return the numbers, in ascending order, by which CANN knows these devices of a rank table.

    A table holds the driver's numbers, while CANN counts the devices that a process can see from 0.
    The two differ in a container that was given some of a server's devices, and are the same on the
    server itself.
    """
    there = devices(folder)
    known = all(number in there for number in numbers)
    return sorted(there.index(number) if known else number for number in numbers)


def visible(environment: Mapping[str, str] = os.environ) -> Optional[list[int]]:
    """Return the devices that ASCEND_RT_VISIBLE_DEVICES leaves this process; None: all.

    MindSpore counts them from 0 in this order. CANN reads up to the first character that belongs
    to no list of numbers.
    """
    text = environment.get("ASCEND_RT_VISIBLE_DEVICES")
    if text is None:
        return None
    listed = re.match(r"\d+(,\d+)*", text)
    return [int(number) for number in listed.group().split(",")] if listed else []


def device_id(given: Optional[int], environment: Mapping[str, str] = os.environ) -> int:
    """Return which device to use: the one given, else that of DEVICE_ID, else 0."""
    number = given
    if number is None:
        text = environment.get("DEVICE_ID", "0")
        if not text.isdecimal():
            raise InputError(f"DEVICE_ID is {text!r}, expected the number of a device, such as 0")
        number = int(text)
    seen = visible(environment)
    if seen and number >= len(seen):
        raise InputError(
            f"device {number} is not there: ASCEND_RT_VISIBLE_DEVICES="
            f"{environment['ASCEND_RT_VISIBLE_DEVICES']} leaves {len(seen)}, which count from 0; "
            "set --device_id or DEVICE_ID to one of these"
        )
    return number


def is_loaded() -> bool:
    """Tell whether MindSpore's plugin for Ascend loaded."""
    import mindspore as ms

    return bool(ms.device_context.ascend.is_available())


def check(folder: Path = DEVICE_FOLDER, environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError, one line, where MindSpore cannot compute on an Ascend here."""
    import mindspore as ms

    check_cann(environment)
    if not _has_plugin(Path(ms.__file__).parent):
        raise InputError(
            f"MindSpore {ms.__version__} here has no plugin for Ascend; install the wheel for "
            f"Linux from the package index (pip install mindspore) or from {INSTALL}, or compute "
            "on the CPU with --device_target CPU"
        )
    simulated = "MS_SIMULATION_LEVEL" in environment  # it compiles without a device
    if not devices(folder) and not simulated:
        reason = "" if is_loaded() else f", and MindSpore's plugin did not load ({load_error()})"
        raise InputError(
            f"device_target Ascend: there is no Ascend device on this machine ({folder}/davinci*)"
            f"{reason}; compute on the CPU with --device_target CPU, or in a container hand the "
            "devices to it"
        )
    if not is_loaded():
        raise InputError(
            f"this machine has an Ascend ({folder}/davinci*), but MindSpore's plugin did not load "
            f"({load_error()}); run: {source_line()}, or compute on the CPU with --device_target "
            "CPU"
        )


def automatic_target(
    folder: Path = DEVICE_FOLDER, environment: Mapping[str, str] = os.environ
) -> str:
    """Return Ascend where there is one, else CPU; never the CPU of a machine with an Ascend.

    MindSpore, which takes seconds to load, is not asked where there is neither a device nor CANN.
    """
    if devices(folder) or (_may_have_cann(environment) and is_loaded()):
        check(folder, environment)
        return "Ascend"
    return "CPU"


def _may_have_cann(environment: Mapping[str, str]) -> bool:
    """Whether CANN's libraries may be found, without which MindSpore's plugin does not load."""
    words = ("ASCEND", "CANN", "MS_SIMULATION_LEVEL")
    named = any(name.startswith(words) for name in environment)
    return named or bool(re.search("ascend|cann", environment.get("LD_LIBRARY_PATH", ""), re.I))


def source_line(places: tuple[Path, ...] = SET_ENV) -> str:
    """Return the line for a shell that makes CANN known, as far as its place is known."""
    found = [path for path in places if path.is_file()]
    if found:
        return f"source {found[0]}"
    return f"source {places[0]} (before CANN 8.5: {places[1]}), wherever CANN is installed"


def load_error() -> str:
    """Return why MindSpore's plugin did not load: the loader's own words, of one line."""
    from mindspore._c_expression import MSContext  # what device_context.ascend itself asks

    lines = MSContext.get_instance().load_plugin_error().strip().splitlines()
    return lines[0].strip() if lines else "it says no reason"


def check_cann(environment: Mapping[str, str] = os.environ) -> None:
    """Raise InputError where the CANN that set_env.sh chose does not fit this MindSpore.

    MindSpore looks into the same file but only warns. Without that file nothing is known.
    """
    home = environment.get("ASCEND_HOME_PATH")
    path = Path(home) / "compiler" / "version.info" if home else None
    if path is None or not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^Version=(\d+\.\d+)", text, re.MULTILINE)
    if found is None or found.group(1) in fitting():
        return
    import mindspore as ms

    raise InputError(
        f"CANN {found.group(1)} ({path}) does not fit MindSpore {ms.__version__}, which takes "
        f"{comma_list(fitting(), 16)}; source the set_env.sh of one of these, or install the "
        f"MindSpore for this CANN ({INSTALL})"
    )


def fitting() -> tuple[str, ...]:
    """Return the versions of CANN that the installed MindSpore lists as fitting."""
    try:
        from mindspore.run_check._check_version import AscendEnvChecker

        return tuple(AscendEnvChecker(None).version)
    except (ImportError, AttributeError, TypeError):
        return _FITTING


def _has_plugin(package: Path) -> bool:
    return any((package / "lib" / "plugin").glob("libmindspore_ascend.so*"))

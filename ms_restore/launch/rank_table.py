"""HCCL rank tables: which device of which server is which rank.

Version 1.0: https://www.mindspore.cn/tutorials/en/r2.7.1/parallel/rank_table.html. ModelArts makes
another layout, with a group_list ("template two"), whose ranks are numbered here by their order:
https://huaweicloud.com/guide/productsdesc-bms_5d77fed3f34fb462f641e02e3a57c86esupport1
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket
import subprocess
from pathlib import Path
from typing import Any, Optional

from ms_restore.errors import InputError, comma_list
from ms_restore.files import write_json
from ms_restore.texts import parse_json, read_text

VERSION = "1.0"
_MOST_BYTES = 64 << 20  # far more than the table of any cluster
OF_MODELARTS = "jobstart_hccl.json"  # in the folder that RANK_TABLE_FILE is there
HCCN = Path("/etc/hccn.conf")  # where Ascend's driver keeps the devices' addresses


@dataclasses.dataclass(frozen=True)
class Device:
    """The device of a rank.

    Attributes:
        rank: number of the rank.
        server: id of the server.
        device: number of the device in the server.
    """

    rank: int
    server: str
    device: int


def read(path: Path) -> list[Device]:
    """Return the devices of a rank table in the order of their ranks.

    Raises InputError with a line for each problem with the file.

    A folder stands for the table of ModelArts in it.
    """
    if path.is_dir():
        path = path / OF_MODELARTS
    origin = f"rank table {path}"
    table = parse_json(read_text(path, _MOST_BYTES, origin), origin)
    if isinstance(table, dict) and "group_list" in table:
        return _read_groups(path, table)
    if not isinstance(table, dict) or table.get("version") != VERSION:
        found = table.get("version") if isinstance(table, dict) else type(table).__name__
        raise InputError(f"rank table {path}: version {found!r}, expected {VERSION!r}")
    try:
        devices = [
            Device(int(entry["rank_id"]), str(server["server_id"]), int(entry["device_id"]))
            for server in table["server_list"]
            for entry in server["device"]
        ]
        count = int(table["server_count"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"rank table {path}: not of the layout server_count, server_list, device with rank_id "
            f"and device_id ({type(error).__name__}: {error})"
        ) from None
    problems = _find_problems(devices, count, len(table["server_list"]))
    if problems:
        raise InputError(*(f"rank table {path}: {problem}" for problem in problems))
    return sorted(devices, key=lambda device: device.rank)


def _read_groups(path: Path, table: dict[str, Any]) -> list[Device]:
    """Return the devices of ModelArts' layout, which is complete when its status says so."""
    if table.get("status") != "completed":
        raise InputError(
            f"rank table {path}: status {table.get('status')!r}; start again when it is 'completed'"
        )
    try:
        places = [
            (str(instance["server_id"]), int(device["device_id"]))
            for group in table["group_list"]
            for instance in group["instance_list"]
            for device in instance["devices"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"rank table {path}: not of the layout group_list, instance_list with server_id, "
            f"devices with device_id ({type(error).__name__}: {error})"
        ) from None
    devices = [Device(rank, server, device) for rank, (server, device) in enumerate(places)]
    servers = len({device.server for device in devices})
    problems = _find_problems(devices, servers, servers)
    if problems:
        raise InputError(*(f"rank table {path}: {problem}" for problem in problems))
    return devices


def _find_problems(devices: list[Device], server_count: int, servers: int) -> list[str]:
    found = []
    if server_count != servers:
        found.append(f"server_count is {server_count}, but server_list has {servers}")
    ranks = [device.rank for device in devices]
    if not devices:
        found.append("no device in it")
    elif sorted(ranks) != list(range(len(ranks))):
        found.append(
            f"rank_id {comma_list(map(str, ranks), 16)}, expected each of 0 to {len(ranks) - 1}"
        )
    places = [f"{device.device} of {device.server}" for device in devices]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        found.append(f"device {comma_list(twice)} is listed twice")
    return found


def server_devices(devices: list[Device], server: Optional[str] = None) -> list[Device]:
    """Return the devices of this server, found by its name and addresses or by ``server``.

    Raises InputError where the table does not list it.
    """
    names = {server} if server else addresses()
    own = [device for device in devices if device.server in names]
    if not own:
        raise InputError(
            f"this server ({comma_list(sorted(names))}) is not in the rank table, which has "
            f"{comma_list(sorted({device.server for device in devices}))}; name it with --server_id"
        )
    return own


def servers(devices: list[Device]) -> dict[str, list[Device]]:
    """Return the devices of every server, the server of rank 0 first."""
    found: dict[str, list[Device]] = {}
    for device in devices:
        found.setdefault(device.server, []).append(device)
    return found


def addresses() -> set[str]:
    """Return this machine's host names and addresses."""
    names = {"localhost", "127.0.0.1", socket.gethostname()}
    try:
        listing = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True)
        names |= set(listing.stdout.split())
    except (OSError, subprocess.CalledProcessError):
        pass
    return names


def write(path: Path, devices: str, server: Optional[str] = None, hccn: Path = HCCN) -> Path:
    """Write a rank table of devices of this server, and return its path.

    Args:
        path: file to write.
        devices: numbers of the devices, such as "0-7" or "0,2".
        server: the server's id in the table; None is one of this machine's addresses.
        hccn: configuration file of Ascend's driver.

    Raises:
        InputError: a device is unknown or repeated, or a file cannot be read or written.
    """
    numbers = _parse_devices(devices)
    try:
        text = hccn.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"{hccn}: cannot be read ({error.strerror}); it holds the devices' addresses where "
            "Ascend's driver is installed"
        ) from None
    known = dict(re.findall(r"^address_(\d+)=(\S+)$", text, re.MULTILINE))
    missing = [str(number) for number in numbers if str(number) not in known]
    if missing:
        raise InputError(
            f"{hccn} has no address for device {comma_list(missing)}; "
            f"it has {comma_list(known, 16)}"
        )
    table: dict[str, Any] = {
        "version": VERSION,
        "server_count": "1",
        "server_list": [
            {
                "server_id": server or _reachable_address(),
                "device": [
                    {
                        "device_id": str(number),
                        "device_ip": known[str(number)],
                        "rank_id": str(rank),
                    }
                    for rank, number in enumerate(numbers)
                ],
                "host_nic_ip": "reserve",
            }
        ],
        "status": "completed",
    }
    write_json(path, table)
    return path


def _parse_devices(text: str) -> list[int]:
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise InputError(f"devices {text!r}: expected such as 0-7 or 0,2,4")
        first = int(match.group(1))
        numbers += range(first, int(match.group(2) or first) + 1)
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError(f"devices {text!r}: a device is listed twice, or none is listed")
    return numbers


def _reachable_address() -> str:
    """Return an IPv4 address of this machine that others can reach, or 127.0.0.1."""
    found = []
    for name in addresses():
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            continue
        if address.version == 4 and not address.is_loopback:
            found.append(name)
    return min(found, default="127.0.0.1")

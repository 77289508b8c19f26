"""demo: the page is served, and its runs are computed in turn, until it is interrupted."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

from ms_restore.errors import InputError
from ms_restore.report.terminal import say

DEFAULT_PORT = 8600
NEEDED = "pip install 'ms-restore[demo]'"
_MOST_MEGAPIXELS = 512


def check(host: str, port: int, max_megapixels: int) -> None:
    """Raise InputError for options that cannot be met, before anything heavy is loaded."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise InputError(f"the page needs {' and '.join(missing)}, not installed here: {NEEDED}")
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: expected 1 to 65535, or 0 for any free one")
    if not 1 <= max_megapixels <= _MOST_MEGAPIXELS:
        raise InputError(
            f"--max_megapixels {max_megapixels}: expected 1 to {_MOST_MEGAPIXELS}, such as 16"
        )
    if not host:
        raise InputError("--host: expected an address, such as 127.0.0.1")


def demo(
    *,
    host: str,
    port: int,
    max_megapixels: int,
    output_dir: Optional[str],
    checkpoint: Optional[list[str]],
    open: bool,
    engine: str,
    device_target: Optional[str],
    device_id: Optional[int],
) -> None:
    """Serve the page until it is interrupted.

    Args:
        host: address that it listens on; one that is not of this machine alone gives a warning.
        port: of that address; 0 takes any free one.
        max_megapixels: of a picture, at most.
        output_dir: folder in which results stay; None: they go with the rest when it ends.
        checkpoint: files and run folders that join the list of models.
        open: open the page in a browser.
        engine: what computes, see ``load_model``.
        device_target: CPU, Ascend or GPU; None: an Ascend where there is one, else the CPU.
        device_id: which device.

    Raises:
        InputError: the page's libraries are not installed; the port is taken; an option, a
            checkpoint or the folder is not usable.
    """
    check(host, port, max_megapixels)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(_listening(host, port))
        kept = _result_folder(output_dir)
        folder = stack.enter_context(_own_folder(kept))
        from ms_restore.demo.application import application
        from ms_restore.demo.model_choices import models_here, own_model
        from ms_restore.demo.turns import Turns
        from ms_restore.demo.visitor_files import VisitorFiles
        from ms_restore.demo.workshop import Limit, Workshop
        from ms_restore.inference.engine_selection import EngineOptions
        from ms_restore.weights import catalogue

        options = EngineOptions(engine, device_target, device_id)
        workshop = Workshop(VisitorFiles(folder, kept), Limit(max_megapixels), options, {})
        models = {choice.name: choice for choice in models_here()}
        for path in checkpoint or []:
            choice = own_model(path, workshop.load(catalogue.resolve(path)), models)
            models[choice.name] = choice
        workshop.models = models
        workshop.limit.set()
        turns, loopback = Turns(), _is_loopback(listening)
        hosts = {"127.0.0.1", "localhost", "[::1]", host} if loopback else None
        stack.enter_context(_served(application(workshop, turns, hosts), listening))
        _announce(listening, loopback, open)
        _until_interrupted(turns)


def _result_folder(output_dir: Optional[str]) -> Optional[Path]:
    if output_dir is None:
        return None
    folder = Path(output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made there ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written; choose another --output_dir")
    return folder.resolve()


@contextlib.contextmanager
def _own_folder(kept: Optional[Path]) -> Iterator[Path]:
    """A folder for uploads, previews and results, which goes when the page ends."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=".ms_restore_demo_", dir=kept)
    except OSError as error:
        raise InputError(f"no folder for uploads can be made ({error.strerror})") from None
    with folder as name:
        yield Path(name).resolve()


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; raises InputError where it cannot, which says why."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise InputError(f"--host {host}: no address of this machine, expected 127.0.0.1") from None
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(128)
        except OSError as error:
            raise InputError(_why_not(error, host, port)) from None
        yield listening


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"--port {port}: in use, perhaps by another demo; end that, or choose another port, "
            f"such as --port {port + 1 if port < 65535 else DEFAULT_PORT}"
        )
    if error.errno == errno.EACCES:
        return f"--port {port}: not allowed to you; choose one from 1024 up, such as {DEFAULT_PORT}"
    return f"--host {host}: cannot be listened on ({error.strerror}); expected 127.0.0.1"


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


@contextlib.contextmanager
def _served(app: Any, listening: socket.socket) -> Iterator[None]:
    """The application answers in another thread: networks compute in this one."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2)
        server.force_exit = True
        thread.join(2)


def _announce(listening: socket.socket, loopback: bool, open: bool) -> None:
    name, port = listening.getsockname()[:2]
    anywhere = ipaddress.ip_address(name.partition("%")[0]).is_unspecified
    shown = ("[::1]" if ":" in name else "127.0.0.1") if anywhere else name
    address = f"http://{f'[{shown}]' if ':' in shown and shown[0] != '[' else shown}:{port}/"
    if not loopback:
        say(
            f"warning: --host {name}: every machine that reaches this one can use the page, "
            "without a password; --host 127.0.0.1 keeps it to this machine"
        )
    say(f"demo at {address} (Ctrl+C ends it)")
    if open:
        webbrowser.open(address)


def _until_interrupted(turns: Any) -> None:
    """Compute what visitors ask for; an interrupt or SIGTERM ends it, and is no failure."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        turns.serve()
    except KeyboardInterrupt:
        say("demo ended")
    finally:
        turns.end()
        signal.signal(signal.SIGTERM, before)

"""Fetching of a file by HTTP: with progress, going on where an earlier attempt was cut."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit
from urllib.request import Request

from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.version import __version__
from ms_restore.weights.catalogue import Published

Watcher = Callable[[int, Optional[int]], None]
"""Is told how many bytes are here, and how many there will be, None if the server does not say."""
_TIMEOUT = 60  # seconds without a byte
_PIECE = 1 << 18
_MUCH = 3  # times the size that is listed, beyond which a file is another one


class _Answer(NamedTuple):
    """A server's answer: whence its bytes begin, and how many the whole file has."""

    body: http.client.HTTPResponse
    start: int
    total: Optional[int]


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none from https to http, on which a file could be exchanged."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[Request]:
        """Return the next request; raise HTTPError where it would leave https."""
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.HTTPError(newurl, code, "leads away from https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(weights: Published, target: Path, watch: Watcher) -> None:
    """Fetch published weights to a file, whose size and hash are checked where they are known.

    Proxies are those of the usual environment variables, redirects are followed. What has come
    stays in ``TARGET.part`` when the connection is cut or the disk is full, and the next call goes
    on there, if the server still has the same file.

    Raises InputError with one line for whatever goes wrong.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        with contextlib.closing(_Part(part)) as kept:
            _receive(weights, kept, watch)
    except InputError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{weights.address}: {_reason(error, weights, part)}") from None
    try:
        _check(weights, part)
    except InputError:
        kept.remove()
        raise
    with _writing(target):
        part.replace(target)
        kept.forget()


class _Part:
    """A file that is not complete, and beside it the mark by which its server knows the version."""

    def __init__(self, path: Path) -> None:
        self._path, self._mark = path, path.with_name(f"{path.name}.etag")
        with _writing(path):
            self._file = path.open("ab")

    @property
    def size(self) -> int:
        return self._file.tell()

    @property
    def mark(self) -> Optional[str]:
        return self._mark.read_text(encoding="latin-1") if self._mark.is_file() else None

    def begin(self, start: int, mark: Optional[str]) -> None:
        """Drop what is behind ``start``, and remember the version of what will come."""
        with _writing(self._path):
            self._file.truncate(start)
            self._file.seek(start)
            self.forget()
            if mark:
                self._mark.write_text(mark, encoding="latin-1")

    def add(self, data: bytes) -> None:
        with _writing(self._path):
            self._file.write(data)
            self._file.flush()

    def forget(self) -> None:
        self._mark.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, which does not stay where it is empty."""
        with _writing(self._path):
            self._file.close()
            if not self._path.stat().st_size:
                self.remove()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self.forget()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the errors of a disk into InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space, or set "
            "MS_RESTORE_HOME to another folder; the next call goes on from here"
        ) from None


def _receive(weights: Published, part: _Part, watch: Watcher) -> None:
    """Append to the part what the server has and it has not."""
    answer = _ask(weights, part)
    with answer.body as body:
        most = weights.bytes or int(weights.megabytes * _MUCH * 1e6)
        if answer.total is not None:
            _check_size(weights, answer.total, most)
        part.begin(answer.start, body.headers.get("ETag"))
        watch(part.size, answer.total)
        while data := body.read(_PIECE):
            part.add(data)
            watch(part.size, answer.total)
            if part.size > most:
                part.begin(0, None)
                raise InputError(
                    f"{weights.address}: sends more than {most:,} bytes, expected about "
                    f"{weights.megabytes:g} MB; it is another file, see {weights.source}"
                )
    if answer.total is not None and part.size < answer.total:
        raise ConnectionError(f"cut after {part.size:,} of {answer.total:,} bytes")


def _ask(weights: Published, part: _Part) -> _Answer:
    """Ask for the file, or for the rest of it where the server can know that it is the same."""
    headers = {"User-Agent": f"ms_restore/{__version__}", "Accept-Encoding": "identity"}
    mark = part.mark
    if part.size and (mark or weights.sha256):
        headers["Range"] = f"bytes={part.size}-"
        if mark and not mark.startswith("W/"):
            headers["If-Range"] = mark
    opener = urllib.request.build_opener(_NoDowngrade)
    try:
        body = opener.open(Request(weights.address, headers=headers), None, _TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and "Range" in headers:  # nothing follows what is here
            error.close()
            part.begin(0, None)
            return _ask(weights, part)
        raise
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", body.headers.get("Content-Range", ""))
    if body.status == 206 and found and int(found[1]) <= part.size:
        return _Answer(body, int(found[1]), int(found[2]))
    length = body.headers.get("Content-Length")
    return _Answer(body, 0, int(length) if length and length.isdecimal() else None)


def _check_size(weights: Published, size: int, most: int) -> None:
    if weights.bytes not in (None, size) or size > most:
        expected = (
            f"{weights.bytes:,}" if weights.bytes else f"about {weights.megabytes * 1e6:,.0f}"
        )
        raise InputError(
            f"{weights.address}: the file has {size:,} bytes, expected {expected}; it is another "
            f"one, see {weights.source}"
        )


def _check(weights: Published, path: Path) -> None:
    """Raise InputError where a file is not the one that is listed, and is to be removed."""
    size, digest = path.stat().st_size, sha256(path) or ""
    if weights.bytes not in (None, size):
        raise InputError(
            f"{weights.address}: {size:,} bytes came, expected {weights.bytes:,}; they were removed"
        )
    if not digest.startswith(weights.sha256 or ""):
        raise InputError(
            f"{weights.address}: the file has sha256 {digest}, expected {weights.sha256}; it was "
            f"removed. Try again, or see {weights.source}"
        )


def _reason(error: Exception, weights: Published, part: Path) -> str:
    """Return what went wrong between here and the server, and what to do."""
    by_hand = (
        f"fetch {weights.file} from {weights.source} by other means and convert it: ms-restore "
        f"convert --source {weights.file} --model {weights.model} --output {weights.model}.ckpt"
    )
    proxies = ", ".join(f"{k} {v}" for k, v in _proxies().items())
    proxy = f" by the proxy ({proxies})" if proxies else ""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code == 407:
            return f"refused{proxy}, HTTP 407; give the user in https_proxy=http://USER:WORD@HOST"
        if 300 <= error.code < 400:
            circle = "infinite loop" in str(error.msg)
            said = "redirects in a circle" if circle else f"redirects badly, {error.msg}"
            return f"{said}; {by_hand}"
        return f"HTTP {error.code} {error.reason}{proxy}; {by_hand}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    text = text or type(cause).__name__
    if isinstance(error, urllib.error.URLError) or not part.is_file():
        return f"no connection{proxy} ({text}); check the network and https_proxy, or {by_hand}"
    return f"the connection was cut ({text}); the same command goes on from there"


def _proxies() -> dict[str, str]:
    """Return the proxies that are set, without the passwords in them."""
    names = ("http", "https", "all")
    found = {k: v for k, v in urllib.request.getproxies().items() if k in names}
    return {k: re.sub(r"//[^/@]*@", "//...@", v) for k, v in found.items()}

"""The page's server: what it sends, what it takes, and whom it answers."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import pydantic
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ms_restore.demo.orders import ImproveOrder, RestoreOrder
from ms_restore.demo.turns import Run, Turns
from ms_restore.demo.workshop import Workshop
from ms_restore.errors import InputError
from ms_restore.images import picture, raw
from ms_restore.report.terminal import Watch
from ms_restore.version import __version__

_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_OURS = "x-ms-restore"
"""Header of the page's own requests; a page of another site could not send it."""
_PIXEL_BYTES = 8  # an upload's most for each allowed pixel: four samples of 16 bit
_SPARE_BYTES = 8 << 20  # and for what else a file holds
_ORDER_BYTES = 10_000
_Order = TypeVar("_Order", ImproveOrder, RestoreOrder)
_Answer = Callable[[Request], Awaitable[Response]]


def application(workshop: Workshop, turns: Turns, hosts: Optional[set[str]]) -> Starlette:
    """Return the server of the page.

    Args:
        workshop: restores pictures.
        turns: in which it does.
        hosts: names by which browsers may call this server, so that a page of another site cannot
            reach it under a name of its own; None: any.
    """
    desk = _Desk(workshop, turns)
    routes = [
        *(Route(f"/{name}", functools.partial(_shipped, name)) for name in _TYPES),
        Route("/", functools.partial(_shipped, "page.html")),
        Route("/about", desk.about),
        Route("/pictures", desk.take, methods=["POST"]),
        Route("/samples/improve", desk.sample_of_model, methods=["POST"]),
        Route("/samples/restore", desk.sample_of_task, methods=["POST"]),
        Route("/runs/improve", desk.improve, methods=["POST"]),
        Route("/runs/restore", desk.restore, methods=["POST"]),
        Route("/runs/{id}", desk.progress),
        Route("/runs/{id}/cancel", desk.cancel, methods=["POST"]),
        Route("/files/{id}", desk.send),
    ]
    guarded = [
        Route(route.path, _guarded(route.endpoint, hosts), methods=route.methods)
        for route in routes
    ]
    return Starlette(routes=guarded)


def _guarded(answer: _Answer, hosts: Optional[set[str]]) -> _Answer:
    """Return the answer to those who may ask; InputError becomes its line."""

    async def guarded(request: Request) -> Response:
        name = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if hosts is not None and name not in hosts:
            response: Response = _problem(f"this page is not served under the name {name}", 403)
        elif request.method == "POST" and _OURS not in request.headers:
            response = _problem("expected a request of the page itself", 403)
        else:
            try:
                response = await answer(request)
            except InputError as error:
                response = _problem("; ".join(error.problems))
            except MemoryError:
                response = _problem("too large for the memory that is free")
            except OSError as error:
                response = _problem(f"the picture could not be kept ({error.strerror})", 507)
        response.headers.update(_HEADERS)
        return response

    return guarded


def _problem(line: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"problem": line}, status)


async def _shipped(name: str, request: Request) -> Response:
    text = resources.files("ms_restore.demo").joinpath(name).read_text(encoding="utf-8")
    return Response(text, media_type=_TYPES[name])


class _Desk:
    """Answers the page's requests."""

    def __init__(self, workshop: Workshop, turns: Turns) -> None:
        self._workshop, self._turns, self._files = workshop, turns, workshop.files

    async def about(self, request: Request) -> Response:
        """Say what can be chosen here."""
        return JSONResponse(
            {
                "version": __version__,
                "models": [choice.shown() for choice in self._workshop.models.values()],
                "megapixels": self._workshop.limit.megapixels,
                "suffixes": [*picture.SUFFIXES, *raw.SUFFIXES],
            }
        )

    async def take(self, request: Request) -> Response:
        """Take an upload, as far as the limit allows, and say what it is."""
        id = self._files.new_upload(request.query_params.get("name", ""))
        try:
            await self._write(request, self._files.path(id))
            return JSONResponse(await run_in_threadpool(self._workshop.look, id))
        except BaseException:
            self._files.drop(id)
            raise

    async def _write(self, request: Request, path: Path) -> None:
        megapixels = self._workshop.limit.megapixels
        most, taken = megapixels * 1_000_000 * _PIXEL_BYTES + _SPARE_BYTES, 0
        try:
            with path.open("wb") as file:
                async for chunk in request.stream():
                    taken += len(chunk)
                    if taken > most:
                        raise InputError(
                            f"this file is larger than {most // 1_000_000} MB, the most for "
                            f"pictures of {megapixels} megapixels; make it smaller, or start the "
                            "page with a larger --max_megapixels"
                        )
                    file.write(chunk)
        except ClientDisconnect:
            raise InputError("the upload was cut off") from None

    async def sample_of_model(self, request: Request) -> Response:
        """Make a sample for a model."""
        order = await _order(request, ImproveOrder)
        return JSONResponse(await run_in_threadpool(self._workshop.sample_of_model, order))

    async def sample_of_task(self, request: Request) -> Response:
        """Make a sample for a task."""
        order = await _order(request, RestoreOrder)
        return JSONResponse(await run_in_threadpool(self._workshop.sample_of_task, order))

    async def improve(self, request: Request) -> Response:
        """Put a run of a model in the queue."""
        order = await _order(request, ImproveOrder)
        self._files.find(order.picture)
        return self._added(lambda watch: self._workshop.improve(order, watch))

    async def restore(self, request: Request) -> Response:
        """Put a run of a task in the queue."""
        order = await _order(request, RestoreOrder)
        self._files.find(order.picture)
        return self._added(lambda watch: self._workshop.restore(order, watch))

    def _added(self, work: Callable[[Watch], Any]) -> Response:
        def in_words_of_visitor(watch: Watch) -> Any:
            try:
                return work(watch)
            except InputError as error:
                problem = "; ".join(error.problems)
                raise InputError(self._files.in_words_of_visitor(problem)) from None

        return self._state(self._turns.add(in_words_of_visitor))

    async def progress(self, request: Request) -> Response:
        """Say how far a run is."""
        return self._state(self._run(request.path_params))

    async def cancel(self, request: Request) -> Response:
        """Cancel a run."""
        run = self._run(request.path_params)
        self._turns.cancel(run)
        return self._state(run)

    def _run(self, path: Mapping[str, Any]) -> Run:
        run = self._turns.find(path["id"])
        if run is None:
            raise InputError("this run is not known here any more; start it again")
        return run

    def _state(self, run: Run) -> Response:
        return JSONResponse(
            {
                "id": run.id,
                "state": run.state,
                "before": self._turns.before(run),
                "done": run.done,
                "total": run.total,
                "problem": run.problem,
                "result": run.result,
            }
        )

    async def send(self, request: Request) -> Response:
        """Send a file; with ``?download=1`` under the name that the visitor gave its picture."""
        kept = self._files.find(request.path_params["id"])
        name = kept.name if "download" in request.query_params else None
        return FileResponse(kept.path, filename=name)


async def _order(request: Request, kind: type[_Order]) -> _Order:
    """Return the order in a request; raise InputError for another, which our page never sends."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _ORDER_BYTES:
            raise InputError("expected an order, which is shorter")
    try:
        return kind.model_validate_json(body)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where: tuple[Union[int, str], ...] = first["loc"]
        raise InputError(f"{'.'.join(map(str, where)) or 'order'}: {first['msg']}") from None

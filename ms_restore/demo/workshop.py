"""What the page does with pictures, by the functions of the verbs infer and restore."""

from __future__ import annotations

import collections
import time
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np

from ms_restore import limits, registry
from ms_restore.contracts import Solver
from ms_restore.degradations.operators import Blur
from ms_restore.demo import samples
from ms_restore.demo.model_choices import ModelChoice
from ms_restore.demo.orders import ImproveOrder, RestoreOrder
from ms_restore.demo.previews import shown_size, write_preview
from ms_restore.demo.visitor_files import VisitorFiles
from ms_restore.errors import InputError
from ms_restore.images import raw
from ms_restore.images.mosaic import KINDS
from ms_restore.images.picture import Picture, PictureSequence
from ms_restore.images.raw import RawFrame
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.noise_level import NoiseLevel
from ms_restore.inference.raw_development import RawDeveloper
from ms_restore.inference.restorer import Restorer
from ms_restore.report.terminal import Watch
from ms_restore.solvers import tasks
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.verbs.infer import Restoration
from ms_restore.verbs.loading import load_network
from ms_restore.verbs.restore import Watcher, restore_file, suited_solver
from ms_restore.weights import catalogue

_LOADED = 3  # networks in memory


class Limit(NamedTuple):
    """How large a picture may be, in millions of pixels, and the option that says so."""

    megapixels: int
    option: str = "max_megapixels"

    def settings(self) -> dict[str, Any]:
        """Return the limit as recipe keys."""
        return {"runtime.max_megapixels": self.megapixels}

    def set(self) -> None:
        """Make it the limit of this process."""
        limits.set_max_megapixels(self.megapixels, self.option)


class Workshop:
    """Looks at uploads, and restores them; one thread at a time may restore.

    Args:
        files: of the visitors.
        limit: of the pictures' size.
        options: what computes, and where.
        models: those of the list, by name.
    """

    def __init__(
        self,
        files: VisitorFiles,
        limit: Limit,
        options: EngineOptions,
        models: dict[str, ModelChoice],
    ) -> None:
        self.files, self.limit, self.models = files, limit, models
        self._options = options
        self._loaded: collections.OrderedDict[Path, LoadedNetwork] = collections.OrderedDict()

    def load(self, checkpoint: Path) -> LoadedNetwork:
        """Return a checkpoint's network, of which the last few stay in memory."""
        if checkpoint not in self._loaded:
            self._loaded[checkpoint] = load_network(
                checkpoint, settings=self.limit.settings(), options=self._options
            )
            self.limit.set()
        self._loaded.move_to_end(checkpoint)
        while len(self._loaded) > _LOADED:
            self._loaded.popitem(last=False)
        return self._loaded[checkpoint]

    def look(self, id: str) -> dict[str, Any]:
        """Return what the page shows of an upload: its name, size in pixels, and a preview.

        Raises InputError, in the visitor's words, where it cannot be read or is too large.
        """
        kept = self.files.find(id)
        shown: dict[str, Any] = {"id": id, "name": kept.name}
        try:
            if kept.path.suffix in raw.SUFFIXES:
                height, width = raw.size(kept.path)
                return {**shown, "width": width, "height": height, "raw": True, "preview": None}
            picture = read_picture(kept.path)
            height, width = picture.pixels.shape[:2]
            preview = self.files.new(kept.name, ".png")
            write_preview(self.files.path(preview), picture, *shown_size(height, width))
        except InputError as error:
            problem = self.files.in_words_of_visitor("; ".join(error.problems))
            self.files.drop(id)
            raise InputError(problem) from None
        return {**shown, "width": width, "height": height, "raw": False, "preview": preview}

    def model(self, name: str) -> ModelChoice:
        """Return a model of the list; raise InputError where it is none."""
        if name not in self.models:
            raise InputError(f"model {name!r} is not on this page; reload it and choose another")
        return self.models[name]

    def improve(self, order: ImproveOrder, watch: Watch) -> dict[str, Any]:
        """Restore a picture by a model, as ``infer`` does, and return what the page shows."""
        choice, upload = self.model(order.model), self.files.find(order.picture)
        loaded = self.load(choice.checkpoint)
        noise = None
        if choice.told_noise:
            noise = NoiseLevel("auto" if order.sigma_255 is None else order.sigma_255)
        began = time.perf_counter()
        restorer = Restorer(loaded, noise=noise, luma=choice.gray, watch=watch)
        develop = RawDeveloper(restorer, order.ratio, 8) if choice.takes_raw else None
        job = Restoration(restorer, None, develop)
        name = f"{Path(upload.name).stem}_{choice.name}.png"
        result = self.files.new_result(choice.name, name)
        target = self.files.path(result)
        read = job.read(upload.path)
        restored = job.compute((upload.path, target), read)
        seconds = time.perf_counter() - began
        written = job.write(target, restored)
        before = _before(upload.path, loaded, read)
        shown = self._shown(result, before, restored.pictures[0], seconds, restorer.engine)
        if written.left_out:
            shown["note"] = f"{written.left_out} more frames or pages are left out of the PNG"
        return shown

    def restore(self, order: RestoreOrder, watch: Watch) -> dict[str, Any]:
        """Undo a known degradation, as ``restore`` does, and return what the page shows."""
        upload = self.files.find(order.picture)
        operator = self.operator(order)
        denoiser = DenoiserPrior(self.load(catalogue.prior_of_name(None)))
        part = suited_solver(denoiser, order.task, {})
        solver: Solver = registry.build("solver", part, denoiser)
        blind = order.task == "denoise" and order.sigma_255 is None
        noise = tasks.task_sigma_255(order.task, order.sigma_255, blind, part["name"])
        result = self.files.new_result(order.task, f"{Path(upload.name).stem}_{order.task}.png")
        target = self.files.path(result)
        watcher = Watcher(solver.iterations, operator, whole=False, watch=watch)
        began = time.perf_counter()
        restore_file(solver, upload.path, target, watcher, noise, seed=0)
        seconds = time.perf_counter() - began
        before, after = read_picture(upload.path), read_picture(target)
        return self._shown(result, before, after, seconds, solver.engine)

    def operator(self, order: RestoreOrder) -> Blur:
        """Return the degradation that an order names; raise InputError where a part is missing."""
        if order.task == "inpaint" and not order.mask:
            raise InputError("nothing is painted: paint over what is to be filled in")
        mask = self.files.find(order.mask).path if order.task == "inpaint" else None
        return tasks.task_operator(
            order.task,
            kernel=order.kernel(),
            scale=order.scale if order.task == "super_resolve" else None,
            pattern=order.pattern if order.task == "demosaic" else None,
            mask=mask,
        )

    def sample_of_model(self, order: ImproveOrder) -> dict[str, Any]:
        """Return a sample for a model, as ``look`` does, damaged as the model expects it."""
        choice = self.model(order.model)
        sample = samples.for_model(choice.scale, choice.gray, choice.takes_raw)
        return self.look(self._keep("sample.png", sample))

    def sample_of_task(self, order: RestoreOrder) -> dict[str, Any]:
        """Return a sample for a task, damaged as the sliders say; of inpaint, with its mask."""
        mask = None
        if order.task == "inpaint":
            mask = self._keep("mask.png", samples.scratches())
            order = order.model_copy(update={"mask": mask})
        sample = samples.for_task(order.task, self.operator(order), order.sigma_255)
        return {**self.look(self._keep("sample.png", sample)), "mask": mask}

    def _keep(self, name: str, picture: np.ndarray) -> str:
        """Write an array (H, W, C) as an upload of ours, and return its name."""
        id = self.files.new(name, ".png")
        write_picture(self.files.path(id), Picture(picture))
        return id

    def _shown(
        self, result: str, before: Picture, after: Picture, seconds: float, engine: str
    ) -> dict[str, Any]:
        """Return what the page shows of a result; before and after are shown at one size."""
        height, width = after.pixels.shape[:2]
        size = shown_size(height, width)
        ids = {}
        for name, picture in (("before", before), ("after", after)):
            ids[name] = self.files.new(name, ".png")
            write_preview(self.files.path(ids[name]), picture, *size)
        sizes = {"width": width, "height": height, "shown": [size[1], size[0]]}
        return {**ids, **sizes, "file": result, "seconds": seconds, "engine": engine, "note": ""}


def _before(path: Path, loaded: LoadedNetwork, read: Union[PictureSequence, RawFrame]) -> Picture:
    """Return the first picture that was read; of a raw file, what LibRaw makes of it, upright."""
    if isinstance(read, PictureSequence):
        return read.pictures[0]
    pixels, _ = raw.develop(path, KINDS[loaded.recipe.degradation["mosaic"]])
    return Picture(np.ascontiguousarray(np.rot90(pixels, read.turns)))

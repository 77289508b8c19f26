"""restore: pictures by a solver, a degradation that is known, and a denoiser as prior."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, Optional

import numpy as np

from ms_restore import limits, registry
from ms_restore import recipe as recipes
from ms_restore.array_files import read_npy
from ms_restore.contracts import Progress, Solver
from ms_restore.degradations.operators import Blur
from ms_restore.errors import InputError, did_you_mean
from ms_restore.files import atomic_write
from ms_restore.images.arrays import from_float, to_float
from ms_restore.images.picture import Embedded, Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import check_output, write_picture
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.picture_folder import Pair
from ms_restore.metrics.protocols import protocol_named
from ms_restore.report.progress_bars import SolverProgress
from ms_restore.report.terminal import Watch, say
from ms_restore.report.trajectory import Curve, Frame, trajectory
from ms_restore.settings import PartSettings
from ms_restore.solvers import tasks
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.verbs.loading import PathLike, Settings, prior_of
from ms_restore.verbs.picture_paths import check_kept, pairs_of

_FRAMES = (1, 10, 30, 100, 300, 1000)  # iterations that a trajectory shows, and the last


def restore(
    task: str,
    prior: Optional[PathLike],
    input: PathLike,
    output: PathLike,
    *,
    kernel: Optional[str] = None,
    scale: Optional[int] = None,
    pattern: Optional[Literal["RGGB", "BGGR", "GRBG", "GBRG"]] = None,
    mask: Optional[PathLike] = None,
    sigma_255: Optional[float] = None,
    noise_blind: bool = False,
    same_size: bool = False,
    truth: Optional[PathLike] = None,
    save_trajectory: Optional[PathLike] = None,
    solver: str = "auto",
    model: Optional[str] = None,
    engine: str = "auto",
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    seed: int = 0,
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Restore a picture to a file, or a folder of pictures to PNG files of the same names.

    Args:
        task: deblur, super_resolve, demosaic, inpaint or denoise.
        prior: checkpoint, run folder or model's name of a denoiser of one known noise level, or of
            one that is told it; none: the one that comes along.
        input: picture, folder, or ``.npy`` of (H, W, 3) or (H, W, 1) in [0, 1].
        output: the same; ``.npy`` is written as float32 in [0, 1].
        kernel: of deblur and super_resolve: .png, .npy, .mat, gaussian:1.6, motion:15:30, disk:3.
        scale: of super_resolve.
        pattern: of demosaic, by default RGGB; the input is the gray picture of the raw values.
        mask: of inpaint: picture, white where the input is known.
        sigma_255: deviation of the input's noise on a scale of 0 to 255.
        noise_blind: estimate it instead. With neither: deblur is noise-blind, the others assume
            little noise.
        same_size: of deblur: cut the output to the input's size; else it is larger by the kernel
            less one, as far as the input tells anything of.
        truth: the clean picture, of the output's size, to print PSNR.
        save_trajectory: a picture of the iterations to write.
        solver: dmsp or dpir; auto takes dpir where the prior is told the noise, else dmsp.
        model: recipe of a solver, such as dmsp_deblur, whose solver and settings are taken.
        engine: what computes the prior, see load_model; by mindspore, each iteration is one graph
            on the device.
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
        seed: of the solver's noise.
        settings: of the solver, such as ``{"solver.iterations": 100}``; with "solver.name" another
            solver, also ``package.module:Class`` of your own.

    Returns the files written.
    """
    of_device = {k: v for k, v in (settings or {}).items() if k.startswith("runtime.")}
    limits.set_max_megapixels(recipes.runtime_of(of_device).max_megapixels)
    tasks.task_sigma_255(task, sigma_255, noise_blind)
    operator = tasks.task_operator(
        task,
        kernel=kernel,
        scale=scale,
        pattern=pattern,
        mask=Path(mask) if mask is not None else None,
    )
    if same_size and task != "deblur":
        raise InputError(f"--same_size belongs to deblur; {task} always gives the size it should")
    others = {k: v for k, v in (settings or {}).items() if k not in of_device}
    part = _solver_part(solver, model, task, others)
    pairs = pairs_of(Path(input), Path(output))
    if len(pairs) > 1 and (truth is not None or save_trajectory is not None):
        raise InputError("--truth and --save_trajectory are for one picture, not for a folder")
    _check_outputs(pairs, [kernel, mask, truth], save_trajectory)
    options = EngineOptions(engine, device_target, device_id, mode, seed)
    denoiser = prior_of(prior, part or {}, options, of_device)
    part = part or suited_solver(denoiser, task, others)
    method: Solver = registry.build("solver", part, denoiser)
    noise = tasks.task_sigma_255(task, sigma_255, noise_blind, part["name"])
    say(f"{task}, {_described(noise, part['name'], method)}")
    whole = task == "deblur" and not same_size
    for source, target in pairs:
        reference = None if truth is None else _read(Path(truth)).values
        watcher = Watcher(method.iterations, operator, whole, reference)
        restore_file(method, source, target, watcher, noise, seed)
        if save_trajectory is not None:
            trajectory(Path(save_trajectory), watcher.frames, watcher.curves)
            say(f"trajectory in {save_trajectory}")
    return [target for _, target in pairs]


def _check_outputs(
    pairs: list[Pair], read: list[Optional[PathLike]], save_trajectory: Optional[PathLike]
) -> None:
    """Raise InputError where what is written would replace what is read, or has no format."""
    targets = [target for _, target in pairs]
    check_kept(read, targets)
    if save_trajectory is None:
        return
    check_kept([pairs[0][0], *read], [save_trajectory])
    if Path(save_trajectory).resolve() == targets[0].resolve():
        raise InputError(f"{save_trajectory}: --output and --save_trajectory are one file")
    check_output(Path(save_trajectory), Picture(np.zeros((1, 1, 3), np.uint8)))


def _described(noise: Optional[float], name: str, solver: Solver) -> str:
    """The assumed noise, the solver, its prior and what computes it, in a line."""
    prior = solver.prior
    assumed = "noise-blind" if noise is None else f"noise of sigma {noise:g}/255"
    level = "any sigma" if prior.takes_any_level else f"sigma {prior.sigma_255:g}/255"
    return (
        f"{assumed}, solver {name}, prior {prior.recipe.model} ({level}), at most "
        f"{solver.iterations} iterations by {solver.engine}"
    )


def restore_file(
    solver: Solver,
    source: Path,
    target: Path,
    watcher: Watcher,
    noise: Optional[float],
    seed: int,
) -> None:
    """Restore one picture to a file, and say how it went.

    Args:
        solver: the solver, with its prior.
        source: picture, or ``.npy`` in [0, 1].
        target: the file to write.
        watcher: of this picture; it has the operator.
        noise: standard deviation of the picture's noise on a scale of 0 to 255; None estimates it.
        seed: of the solver's random numbers.

    Raises:
        InputError: the picture cannot be read, does not suit the operator, or cannot be written.
    """
    given = _read(source)
    y = given.values
    _check_target(target, given.dtype)
    operator = watcher.operator
    watcher.start(operator.start(y.transpose(2, 0, 1)[None]))
    try:
        x_hat, solution = tasks.restore_image(
            solver, y, operator, sigma_255=noise, whole=watcher.whole, seed=seed, monitor=watcher
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    finally:
        watcher.close()
    _write(target, x_hat, given)
    say(
        f"{source} -> {target} ({x_hat.shape[1]}x{x_hat.shape[0]}): {solution.iterations} "
        f"iterations of {solution.seconds_per_iteration:.2f} s, misfit "
        f"{solution.misfit_255[0]:.2f}/255{watcher.gain()}"
    )


class Watcher:
    """Shows the progress, and keeps what a picture of the trajectory needs.

    Args:
        iterations: the largest number of them.
        operator: the degradation that is undone.
        whole: half the kernel is kept on every side, see ``tasks.restore_image``.
        truth: the clean picture (H, W, C) in [0, 1], where it is known.
        watch: told of iterations, between which it may end the work.
    """

    def __init__(
        self,
        iterations: int,
        operator: Blur,
        whole: bool,
        truth: Optional[np.ndarray] = None,
        watch: Optional[Watch] = None,
    ) -> None:
        self.frames: list[Frame] = []
        self.curves: dict[str, Curve] = {"misfit/255": [], "PSNR dB": []}
        self.operator, self.whole, self._truth = operator, whole, truth
        self._shown = {*_FRAMES, iterations}
        self._iterations, self._watch = iterations, watch
        self._bar = SolverProgress(iterations)

    def start(self, x: np.ndarray) -> None:
        """Keep the image (1, C, H, W) that the solver starts from."""
        self._keep(0, x, "start")

    def __call__(self, progress: Progress) -> None:
        """Show an iteration; raise what ``watch`` raises."""
        if self._watch is not None:
            self._watch(progress.iteration, self._iterations)
        misfit = float(progress.misfit_255[0])
        self.curves["misfit/255"].append((progress.iteration, misfit))
        psnr = None
        if self._truth is not None or progress.iteration in self._shown:
            psnr = self._keep(progress.iteration, progress.x(), f"misfit {misfit:.2f}")
        self._bar.update(progress.iteration, misfit, psnr)

    def _keep(self, iteration: int, x: np.ndarray, caption: str) -> Optional[float]:
        image = tasks.crop_result(x, self.operator, self.whole)
        psnr = None
        if self._truth is not None:
            truth = self._truth
            if truth.shape[:2] != image.shape[:2]:
                (height, width), (rows, columns) = truth.shape[:2], image.shape[:2]
                raise InputError(
                    f"the truth is {width}x{height}, the output {columns}x{rows}; they must be of "
                    "one size (for deblur, see --same_size)"
                )
            cut = self.operator.half if self.whole else (0, 0)
            window = tuple(slice(half, -half or None) for half in cut)
            clean = np.broadcast_to(truth, image.shape)
            psnr = protocol_named("rgb").psnr(image[window], clean[window], 1)
            self.curves["PSNR dB"].append((iteration, psnr))
            caption = f"{psnr:.2f} dB"
        if iteration == 0 or iteration in self._shown:
            self.frames.append(Frame(f"{iteration}: {caption}", image.copy()))
        return psnr

    def gain(self) -> str:
        """Return by how much PSNR rose, for the end of a line; empty where the truth is unknown."""
        figures = [psnr for _, psnr in self.curves["PSNR dB"]]
        return f", PSNR {figures[0]:.2f} -> {figures[-1]:.2f} dB" if figures else ""

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def _solver_part(
    solver: str, model: Optional[str], task: str, settings: Settings
) -> Optional[PartSettings]:
    """The solver that is named, its settings ``solver.KEY`` checked; None: the prior decides."""
    foreign = [key for key in settings if key.partition(".")[0] != "solver"]
    if foreign:
        hint = did_you_mean(foreign[0].partition(".")[0], ["solver"])
        raise InputError(
            *(f"{key}: restore has the keys of a solver only{hint}" for key in foreign)
        )
    if solver != "auto" and (model is not None or "solver.name" in settings):
        raise InputError(
            f"--solver {solver} and {'--model' if model else '--solver.name'} both name a solver; "
            "leave one of them out"
        )
    if model is not None:
        part = recipes.load(model, settings).solver
        if part is None:
            raise InputError(f"{model} is no solver; name one, such as dmsp_deblur")
        return part
    if solver != "auto" or "solver.name" in settings:
        return _checked(solver, task, settings)
    try:  # a slip is answered before the prior is loaded
        _checked("dpir", task, settings)
    except InputError:
        return _checked("dmsp", task, settings)
    return None


def suited_solver(denoiser: DenoiserPrior, task: str, settings: Settings) -> PartSettings:
    """Return the solver that suits a prior, with its settings for a task.

    ``settings`` are keys ``solver.KEY``. Raises InputError where one of them is none.
    """
    return _checked("dpir" if denoiser.takes_any_level else "dmsp", task, settings)


def _checked(solver: str, task: str, settings: Settings) -> PartSettings:
    given = {key.partition(".")[2]: value for key, value in settings.items()}
    name = given.get("name", solver)
    part = {"name": name, **tasks.solver_settings(name, task), **given}
    checked, problems = registry.check("solver", part, "solver")
    if problems:
        raise InputError(*problems)
    return checked


class _Given(NamedTuple):
    """Values (H, W, 1 or 3) of a file, as float32 in [0, 1], and their dtype in the file."""

    values: np.ndarray
    dtype: np.dtype
    embedded: Embedded


def _read(path: Path) -> _Given:
    if path.suffix.lower() != ".npy":
        picture = read_picture(path)
        if picture.alpha is not None:
            raise InputError(f"{path}: it has transparency; flatten it first")
        if picture.other_frames:
            say(f"warning: {path} holds {picture.other_frames} more frames or pages, left out")
        return _Given(to_float(picture.pixels), picture.pixels.dtype, picture.embedded)
    array = read_npy(path)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3) or array.dtype.kind != "f":
        raise InputError(
            f"{path}: {array.dtype} {array.shape}, expected floating (height, width, 3) or "
            "(height, width, 1) in [0, 1]"
        )
    if not np.isfinite(array).all():
        raise InputError(f"{path}: NaN or infinity in it")
    if np.abs(array).max() > 4:
        raise InputError(
            f"{path}: values up to {np.abs(array).max():g}, expected [0, 1] with some noise; "
            "divide by the range"
        )
    return _Given(array.astype(np.float32), np.dtype(np.float32), Embedded())


def _kind(dtype: np.dtype) -> np.dtype:
    return dtype if np.issubdtype(dtype, np.integer) else np.dtype(np.uint8)


def _check_target(path: Path, dtype: np.dtype) -> None:
    if path.suffix.lower() != ".npy":
        check_output(path, Picture(np.zeros((1, 1, 3), _kind(dtype))))


def _write(path: Path, x_hat: np.ndarray, given: _Given) -> None:
    if path.suffix.lower() != ".npy":
        pixels = from_float(x_hat, _kind(given.dtype))
        write_picture(path, Picture(pixels, embedded=given.embedded))
        return
    with atomic_write(path) as temporary:
        np.save(temporary, np.ascontiguousarray(x_hat, np.float32))

"""What the command line's verbs do before MindSpore is loaded, and what they call then."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ms_restore.errors import InputError

_UNMEASURED = ("pretrained", "resume", "allow_changes", "profile")  # options of train alone
_IN = "    "  # before the second line of an entry


def train(**options: Any) -> None:
    """Train, once what is wrong at first sight has been said, before MindSpore is loaded."""
    from ms_restore import recipe
    from ms_restore.training import run_files

    performance, steps, model = options.pop("performance"), options["max_steps"], options["model"]
    if steps is not None:
        (run_files.check_measured_steps if performance else run_files.check_steps)(steps)
    if model is not None:
        name = recipe.name_of(model)
        if not performance and options["resume"] is None:
            run_files.check_free(Path(options["output_dir"] or Path("runs") / name))
    from ms_restore import api

    if not performance:
        api.train(**options)
        return
    given = [f"--{name}" for name in _UNMEASURED if options.pop(name) not in (None, False)]
    if given:
        raise InputError(f"--performance trains nothing that lasts; leave {', '.join(given)} out")
    options.pop("logger")
    if options["model"] is None:
        raise InputError("no model: name one with --model")
    api.performance(options.pop("model"), **options)


def prepare(**options: Any) -> None:
    """Prepare a set."""
    from ms_restore import api

    api.prepare(options.pop("model"), options.pop("source"), options.pop("output"), **options)


def _find_weights(options: dict[str, Any], for_solvers: bool = False) -> None:
    """Put the checkpoint that a model's name stands for among the options.

    It carries its recipe, so that the name has served then. Where the verb is also ``for_solvers``,
    theirs is that of the prior which comes along.
    """
    from ms_restore.weights import catalogue

    checkpoint, model = options["checkpoint"], options["model"]
    if checkpoint is not None:
        options["checkpoint"] = catalogue.resolve(checkpoint)
    elif model is None:
        raise InputError(
            "no weights: name a checkpoint or run folder with --checkpoint, or --model"
        )
    elif for_solvers and catalogue.is_solver(model):
        options["checkpoint"] = catalogue.prior_of_name(None)
    else:
        options["checkpoint"], options["model"] = catalogue.weights_of(model), None


def evaluate(**options: Any) -> None:
    """Score, once the weights are found."""
    _find_weights(options, for_solvers=True)
    from ms_restore import api

    api.evaluate(**options)


def infer(**options: Any) -> None:
    """Restore pictures, once the weights are found."""
    _find_weights(options)
    from ms_restore import api

    api.infer(**options)


def restore(**options: Any) -> None:
    """Restore by a solver, once the task and the prior are found."""
    from ms_restore.solvers import tasks
    from ms_restore.weights import catalogue

    tasks.check_task(options["task"])  # before MindSpore is loaded, which takes seconds
    options["prior"] = catalogue.prior_of_name(options["prior"])
    from ms_restore import api

    words = [options.pop(name) for name in ("task", "prior", "input", "output")]
    api.restore(*words, **options)


def export(**options: Any) -> None:
    """Export, once the weights are found."""
    _find_weights(options)
    from ms_restore import api

    api.export(**options)


def report(folder: str) -> None:
    """Write the report of a run or an evaluation."""
    from ms_restore import api

    api.write_report(folder)


def demo(**options: Any) -> None:
    """Serve the page, once what is wrong at first sight has been said."""
    from ms_restore.demo import serving

    serving.demo(**options)


def convert(**options: Any) -> None:
    """Convert weights."""
    from ms_restore import api

    api.convert(options.pop("source"), options.pop("output"), **options)


def benchmark(**options: Any) -> None:
    """Measure, once the number of steps and the engines have been checked."""
    from ms_restore.inference import engine_selection
    from ms_restore.training import run_files

    if options["engines"] is not None:
        options["engines"] = engine_selection.to_measure(options["engines"])
    if options["max_steps"] is not None:
        run_files.check_measured_steps(options["max_steps"])
    from ms_restore import api

    api.benchmark(options.pop("model"), **options)


def launch(**options: Any) -> None:
    """Start a job, and end with its exit code."""
    from ms_restore.verbs.launch import launch

    code = launch(options.pop("passed_on"), **options)
    if code:
        raise SystemExit(code)


def rank_table(devices: str, output: str, server_id: Optional[str]) -> None:
    """Write a rank table, and print where."""
    from ms_restore.launch import rank_table

    print(rank_table.write(Path(output), devices, server_id))


def models(model: Optional[str], network: Optional[str], weights: Optional[str]) -> None:
    """Print the table of the models, or a recipe."""
    from ms_restore import recipe

    if model is not None:
        print(recipe.load(model).to_yaml(), end="")
        return
    from ms_restore.verbs.models import models_table

    models_table(network, weights)


def weights(download: Optional[str], yes: bool) -> None:
    """List the weights that are here or published, or download some."""
    from ms_restore.verbs import weights
    from ms_restore.weights import catalogue

    if download is not None:
        weights.download_weights(download, ask=not yes)
        return
    published = catalogue.published()
    for name, where in weights.list_weights().items():
        other = published.get(name)
        about = f"{other.megabytes:7.1f} MB  {other.licence}" if other else ""
        print(f"{name:18}  {where:12}{about}".rstrip())
        if other:
            print(f"{_IN}{other.file}")
    print(f"kept in {catalogue.downloads_folder()}; ms-restore weights --download MODEL")


def doctor(data_dir: Optional[str], checkpoint: Optional[str], json: bool) -> None:
    """Examine, and end with exit code 1 where there is a problem."""
    from ms_restore.verbs import doctor

    found = doctor.doctor(data_dir, checkpoint, json)
    if any(finding.level == "problem" for findings in found.values() for finding in findings):
        raise SystemExit(1)

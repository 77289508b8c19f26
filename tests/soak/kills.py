"""Kill verbs at random moments, and run them again until they are done: nothing is lost or left.

    python -m tests.soak.kills [--seed S] [VERB=KILLS ...]

A verb is train, prepare, infer, export or convert. After the kills, what it has written must equal
what a run without a kill wrote, and no other file may lie there.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np
import yaml

from ms_restore import api
from ms_restore.weights import checkpoint, run_checkpoints
from tests.fixtures.pictures import fill

TOP = Path(__file__).parents[2]
KILLS = {"train": 50, "prepare": 50, "infer": 50, "export": 20, "convert": 20}
TINY = {
    "description": "a small network",
    "network": {"name": "edsr", "scale": 2, "blocks": 1, "filters": 4},
    "degradation": {"name": "bicubic", "scale": 2},
    "data": {"patch_size": 16, "workers": 1},
    "train": {"batch_size": 1, "validate_every": 100, "checkpoint_every": 5, "steps": 600},
    "eval": {"protocol": "rgb"},
}
_LONGEST = 300.0  # seconds that a run may take


@dataclasses.dataclass
class Case:
    """A verb under test.

    Attributes:
        arguments: of the command line, given the output.
        again: the same for a run after a kill; None: those of the first.
        written: what the output holds, in a form that two runs can be compared by.
    """

    arguments: Callable[[Path], list[object]]
    written: Callable[[Path], object]
    again: Callable[[Path], list[object]] | None = None


def files_below(output: Path) -> object:
    """Every file of a folder, or the file, with its hash; not locks and records of runs."""
    paths = sorted(output.rglob("*")) if output.is_dir() else [output]
    return {
        path.relative_to(output.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and path.name not in ("lock", ".ms_restore.jsonl")
    }


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def weights_of(path: Path) -> list[str]:
    """Hashes of a checkpoint's weights, and of its state of training."""
    read, hashes = checkpoint.read(path), []
    for values in (read.parameters, read.training):
        digest = hashlib.sha256()
        for name in sorted(values):
            digest.update(name.encode() + values[name].asnumpy().tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def run_below(folder: Path) -> object:
    """Names of a run's files, the weights and state of its checkpoints, and its logged steps."""
    paths = [*run_checkpoints.newest(folder), folder / "best.ckpt"]
    states = {path.name: weights_of(path) for path in paths}
    names = names_below(folder)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    logged = [(row["step"], row.get("loss"), row.get("psnr")) for row in rows]
    return {"names": names, "states": states, "logged": logged}


def cases(folder: Path) -> dict[str, Case]:
    """Every verb, with what it needs made in a folder."""
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    pictures = fill(folder / "pictures", 12, size=(90, 70))
    many = fill(folder / "many", 40, size=(300, 260))
    settings = {"train.steps": 4, "train.validate_every": 2}
    run = api.train(
        str(recipe),
        data_dir=pictures,
        output_dir=folder / "run",
        device_target="CPU",
        settings=settings,
    )
    weights = folder / "weights.safetensors"
    api.convert(run.checkpoint, weights, to="torch")
    cpu = ["--device_target", "CPU"]
    model = ["--model", recipe]
    return {
        "train": Case(
            lambda out: ["train", *model, "--data_dir", pictures, "--output_dir", out, *cpu],
            run_below,
            lambda out: ["train", "--resume", out, *cpu],
        ),
        "prepare": Case(
            lambda out: ["prepare", *model, "--source", many, "--output", out, "--workers", 1],
            files_below,
        ),
        "infer": Case(
            lambda out: [
                *("infer", "--checkpoint", run.checkpoint, "--input", many, "--output", out),
                *("--engine", "mindspore", *cpu),
            ],
            files_below,
        ),
        "export": Case(
            lambda out: [
                *("export", "--checkpoint", run.checkpoint, "--file_name", out / "net.onnx"),
                *("--file_format", "ONNX", *cpu),
            ],
            files_below,
        ),
        "convert": Case(
            lambda out: ["convert", "--source", weights, "--output", out / "net.ckpt", *model],
            lambda out: [names_below(out), weights_of(out / "net.ckpt")],
        ),
    }


def start(arguments: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ms_restore", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(arguments: list[object]) -> float:
    """Run a verb to its end, and return the seconds that it took."""
    began = time.perf_counter()
    process = start(arguments)
    said, _ = process.communicate(timeout=_LONGEST)
    if process.returncode:
        raise AssertionError(f"exit code {process.returncode}: {said[-2000:]}")
    return time.perf_counter() - began


def kill_and_finish(verb: str, case: Case, folder: Path, kills: int, seed: int = 0) -> int:
    """Kill the verb that often at random moments, and compare what it writes in the end.

    Returns how often it was begun anew since it was done before the kills were. Raises
    AssertionError where something differs.
    """
    rng = np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    whole = folder / "whole" / verb
    whole.mkdir(parents=True)
    seconds = finish(case.arguments(whole))
    expected = case.written(whole)
    anew = 0
    while kills > 0:
        anew += 1
        output = folder / f"killed_{anew}" / verb
        output.mkdir(parents=True)
        broken = False
        while kills > 0:
            again = case.again if case.again and run_checkpoints.newest(output) else case.arguments
            process = start(again(output))
            try:
                # Most kills come late, after the start, where files are written
                process.wait(seconds * rng.beta(4, 2))
                code = process.returncode
                assert code == 0, f"exit code {code}: {process.stdout.read()[-2000:]}"
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills, broken = kills - 1, True
            finally:
                process.stdout.close()
        else:
            again = case.again if case.again and run_checkpoints.newest(output) else case.arguments
            finish(again(output))
        if broken:
            assert case.written(output) == expected, output
        shutil.rmtree(output.parent)
    return anew


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("verbs", nargs="*", metavar="VERB=KILLS")
    options = parser.parse_args()
    wanted = dict(word.split("=") for word in options.verbs) or KILLS
    with tempfile.TemporaryDirectory(prefix="kills_") as name:
        folder = Path(name)
        made = cases(folder)
        for verb, kills in wanted.items():
            began = time.perf_counter()
            anew = kill_and_finish(verb, made[verb], folder / verb, int(kills), options.seed)
            seconds = time.perf_counter() - began
            print(
                f"{verb}: killed {kills} times in {anew} runs ({seconds:.0f} s), ended as a run "
                "without a kill, nothing left behind",
                flush=True,
            )


if __name__ == "__main__":
    main()

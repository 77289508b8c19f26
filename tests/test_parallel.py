"""Data parallelism with real ranks: msrun on the CPU, over loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ms_restore import api, parallel
from ms_restore.errors import InputError
from ms_restore.launch.jobs import _workers
from ms_restore.metrics import scoring as evaluation
from ms_restore.weights import checkpoint, run_checkpoints

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[1]
WORKER = Path(__file__).parent / "fixtures" / "rank_worker.py"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def msrun(count, folder, script, *arguments, timeout=120):
    """Run a script in so many ranks; the finished process, its logs in ``folder``."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    options = [f"--worker_num={count}", f"--local_worker_num={count}", "--join=True"]
    options += [f"--master_port={free_port()}", f"--log_dir={folder / 'ranks'}"]
    return subprocess.run(
        [str(binaries / "msrun"), *options, str(script), *map(str, arguments)],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def logs(folder):
    return "\n".join(path.read_text() for path in sorted((folder / "ranks").glob("worker_*.log")))


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """What the worker script found with two ranks; it says what it does."""
    folder = tmp_path_factory.mktemp("two")
    done = msrun(2, folder, WORKER, folder)
    assert done.returncode == 0, logs(folder)
    return [np.load(folder / f"rank{rank}.npz") for rank in range(2)]


def test_ranks_have_the_same_weights_bit_for_bit(two_ranks):
    first, second = ({k: r[k] for k in r if k.startswith("weights/")} for r in two_ranks)
    assert first
    assert all((first[name] == second[name]).all() for name in first)


def test_two_ranks_of_a_batch_equal_one_of_twice_as_much(two_ranks):
    from tests.fixtures import rank_worker

    single = rank_worker.train(steps=5, batch_size=4)
    for name, value in single.items():
        np.testing.assert_allclose(two_ranks[0][f"weights/{name}"], value, atol=1e-5)
    moved = rank_worker.train(steps=1, batch_size=4)
    assert any(np.abs(single[name] - moved[name]).max() > 1e-4 for name in single)


@pytest.mark.long
def test_two_ranks_of_every_network_equal_one(tmp_path):
    """Those without batch normalisation, whose means are each rank's own."""
    from tests.fixtures import network_ranks

    done = msrun(2, tmp_path, network_ranks.__file__, tmp_path, timeout=600)
    assert done.returncode == 0, logs(tmp_path)
    first, second = (dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in range(2))
    assert all((first[name] == second[name]).all() for name in first)
    networks = dict(network_ranks.networks())
    assert {"drunet_gray", "nafnet_gopro_32", "rrdbnet_x4", "srvgg_x4", "swinir_x2"} <= {*networks}
    for model, network in networks.items():
        before = {name: value.asnumpy().copy() for name, value in network.parameters_and_names()}
        for name, value in network_ranks.train(network).items():
            np.testing.assert_allclose(first[f"{model}/{name}"], value, atol=1e-5)
        moved = [np.abs(first[f"{model}/{name}"] - value).max() for name, value in before.items()]
        assert max(moved) > 1e-4, model


def test_an_overflow_on_one_rank_makes_both_skip(two_ranks):
    for rank in two_ranks:
        assert rank["overflow/skipped"] == 1
        assert rank["overflow/moved"] == 0
        assert rank["overflow/scale"] == 2.0**15


def test_an_overflow_that_only_one_rank_notices_makes_both_skip(two_ranks):
    """As on devices that saturate: the averaged gradient stays finite."""
    first, second = ({k: r[k] for k in r if k.startswith("own_overflow/")} for r in two_ranks)
    for found in (first, second):
        assert [found[f"own_overflow/{n}/moved"] for n in range(3)] == [True, False, True]
        assert [found[f"own_overflow/{n}/skipped"] for n in range(3)] == [0, 1, 1]
        assert [found[f"own_overflow/{n}/scale"] for n in range(3)] == [2.0**16, 2.0**15, 2.0**15]
    assert all((first[name] == second[name]).all() for name in first)


def test_the_learning_rate_grows_with_the_ranks_where_asked(two_ranks):
    assert two_ranks[1]["lr"] == pytest.approx([2e-3])


def test_a_batch_that_is_not_the_recipes(tiny, tmp_path):
    settings = {"train.global_batch": 7}
    with pytest.raises(InputError, match="2 images a step, but .*is 7; set train.batch_size to 7"):
        api.train(tiny, output_dir=tmp_path / "run", device_target="CPU", settings=settings)
    assert not (tmp_path / "run").exists()


def test_totals_are_exact_to_the_last_bit(two_ranks):
    values = np.random.default_rng(0).standard_normal(7) * 10.0 ** np.arange(-3, 4)
    expected = [*values, np.inf]
    for rank in two_ranks:
        assert (rank["total"] == expected).all()


@pytest.mark.long
def test_sharded_evaluation_equals_that_of_one_rank(run, tmp_path):
    """Three ranks, seven images; the mean is the same to the last bit, each image counts once."""
    from ms_restore.data import photos
    from ms_restore.images.picture import Picture
    from ms_restore.images.writing import write_picture

    for number in range(7):
        photo = photos.load("chelsea")[20 * number :, 20 * number :][:40, :50]
        write_picture(tmp_path / "images" / f"{number}.png", Picture(photo))
    arguments = ["--checkpoint", run.folder, "--data_dir", tmp_path / "images"]
    arguments += ["--device_target", "CPU", "--output_dir", tmp_path / "many"]
    done = msrun(3, tmp_path, TOP / "eval.py", *arguments)
    assert done.returncode == 0, logs(tmp_path)
    api.evaluate(run.folder, data_dir=tmp_path / "images", output_dir=tmp_path / "one")
    assert json.loads((tmp_path / "many" / "metrics.json").read_text()) == json.loads(
        (tmp_path / "one" / "metrics.json").read_text()
    )
    spoken = logs(tmp_path)
    assert spoken.count("metrics.json and comparisons/") == 1
    assert len(list((tmp_path / "many" / "comparisons").iterdir())) == 7


def test_alone_nothing_is_shared():
    assert parallel.ranks() == parallel.Ranks(0, 1)
    values = np.array([1.5, np.nan])
    assert parallel.total(values) is values
    rows = [{"name": "b", "psnr": 2.0}, {"name": "a", "psnr": 1.0}]
    assert evaluation.gather_scores(rows, ["a", "b"], ["psnr"]) == rows[::-1]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"MS_ROLE": "MS_WORKER"}, True),
        ({"MS_ROLE": "MS_SCHED"}, True),
        ({"RANK_TABLE_FILE": "table.json", "RANK_SIZE": "8"}, True),
        ({"RANK_TABLE_FILE": "table.json", "RANK_SIZE": "1"}, False),
        ({"RANK_SIZE": "8"}, False),
    ],
)
def test_who_is_launched(environment, expected):
    assert parallel.launched(environment) is expected


def test_a_killed_rank_ends_the_job_which_goes_on_with_resume(tiny, pictures, tmp_path, request):
    """By two ranks, then by one: the position in the data counts in samples."""
    import psutil

    folder = tmp_path / "run"
    port = ["--master_port", free_port(), "--log_dir", tmp_path / "ranks"]
    options = ["--device_target", "CPU", "--train.steps", 100000, "--train.checkpoint_every", 5]
    start = ["--model", tiny, "--data_dir", pictures, "--output_dir", folder]

    def launch(*train):
        command = [
            sys.executable,
            "-m",
            "ms_restore",
            "launch",
            "--workers",
            2,
            *port,
            "--",
            *train,
        ]
        return subprocess.Popen(
            [*map(str, command)],
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    job = launch(*start, *options, "--train.validate_every", 100000)
    request.addfinalizer(lambda: job.poll() is None and job.terminate())
    until = time.monotonic() + 120
    while not list((folder / "checkpoints").glob("step_*.ckpt")):
        assert job.poll() is None, job.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.1)
    (msrun_itself,) = psutil.Process(job.pid).children()
    victim = _workers(msrun_itself.pid)[1]
    victim.kill()
    said, _ = job.communicate(timeout=30)  # the job ends by itself within half a minute
    assert job.returncode not in (0, None)
    assert "rank 1 failed (killed by SIGKILL)" in said
    assert "worker_1.log" in said
    done = checkpoint.read(run_checkpoints.newest(folder)[0]).facts["step"]
    again = launch("--resume", folder, "--max_steps", done + 2, "--device_target", "CPU")
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said + logs(tmp_path)
    facts = checkpoint.read(run_checkpoints.newest(folder)[0]).facts
    assert (facts["step"], facts["samples"]) == (done + 2, (done + 2) * 2 * 2)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in log if "loss" in entry]
    assert steps == list(range(1, done + 3))  # only the first rank writes
    alone = api.train(resume=folder, max_steps=done + 5, device_target="CPU")
    assert alone.steps == done + 5
    samples = checkpoint.read(run_checkpoints.newest(folder)[0]).facts["samples"]
    assert samples == facts["samples"] + 3 * 2

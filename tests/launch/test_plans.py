"""What a launch starts, for the MindSpore that reads rank tables and for the one that does not."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ms_restore import ascend, cli
from ms_restore.errors import InputError
from ms_restore.launch import plans
from ms_restore.launch.plans import MsrunOptions
from tests.launch.test_jobs import table
from tests.test_parallel import free_port, logs

TRAIN = ["train.py", "--model", "edsr"]
ONE = [("127.0.0.1", [3])]
EIGHT = [("127.0.0.1", range(8))]
TWO = [("10.9.8.7", range(8)), ("127.0.0.1", [7, 6, 5, 4, 3, 2, 1, 0])]
OLD, NEW = "2.7.1", "2.10.0"


def _msrun(workers, here, address, port, place, logs):
    program = str(Path(sys.executable).with_name("msrun"))
    return [
        program,
        f"--worker_num={workers}",
        f"--local_worker_num={here}",
        f"--master_addr={address}",
        f"--master_port={port}",
        f"--node_rank={place}",
        f"--log_dir={logs}",
        "--join=True",
    ]


@pytest.mark.parametrize(
    ("servers", "words", "devices"),
    [
        (ONE, (1, 1, "127.0.0.1", 0), "3"),
        (EIGHT, (8, 8, "127.0.0.1", 0), "0,1,2,3,4,5,6,7"),
        (TWO, (16, 8, "10.9.8.7", 1), "0,1,2,3,4,5,6,7"),
    ],
    ids=["one device", "eight devices", "two servers"],
)
def test_msrun_is_started_from_the_table(tmp_path, servers, words, devices):
    path = table(tmp_path / "table.json", *servers)
    port = free_port()
    workers, here, address, place = words
    options = MsrunOptions(port, "True", 900)
    (rank,) = plans.of_table(path, TRAIN, tmp_path / "logs", None, options, mindspore=NEW)
    own = ["--bind_core=True", "--cluster_time_out=900"]
    started = _msrun(workers, here, address, port, place, tmp_path / "logs")
    assert rank.command == [*started, *own, *TRAIN]
    assert rank.environment["ASCEND_RT_VISIBLE_DEVICES"] == devices
    assert rank.environment["RANK_TABLE_FILE"] is None
    assert rank.count == here


@pytest.mark.parametrize(
    ("servers", "own", "size"),
    [
        (ONE, {0: 3}, 1),
        (EIGHT, {n: n for n in range(8)}, 8),
        (TWO, {8 + n: 7 - n for n in range(8)}, 16),
    ],
    ids=["one device", "eight devices", "two servers"],
)
def test_an_older_mindspore_reads_the_table_itself(tmp_path, servers, own, size):
    path = table(tmp_path / "table.json", *servers)
    ranks = plans.of_table(path, TRAIN, tmp_path / "logs", mindspore=OLD)
    assert [rank.command for rank in ranks] == [[sys.executable, *TRAIN]] * len(own)
    assert [rank.environment for rank in ranks] == [
        {
            "RANK_TABLE_FILE": str(path),
            "RANK_SIZE": str(size),
            "RANK_ID": str(number),
            "DEVICE_ID": str(device),
        }
        for number, device in own.items()
    ]
    with pytest.raises(InputError, match=r"--bind_core is an option of msrun, and MindSpore 2.7.1"):
        plans.of_table(path, TRAIN, tmp_path, None, MsrunOptions(bind_core="True"), mindspore=OLD)


def test_what_is_printed_starts_the_same(tmp_path, monkeypatch):
    """The printed line, run by a shell, leaves what a notebook has set out."""
    monkeypatch.setenv("RANK_TABLE_FILE", "/preset/by/the/notebook.json")
    monkeypatch.setenv("DEVICE_ID", "3")
    path = table(tmp_path / "a table.json", ("127.0.0.1", [1, 3]))
    options = MsrunOptions(free_port())
    (rank,) = plans.of_table(path, ["print me"], tmp_path / "logs", None, options, mindspore=NEW)
    shown = rank.shell_line()
    assert shlex.split(shown)[0] == "env"
    rank.command[:] = [sys.executable, "-c", "import os; print(dict(os.environ))"]
    (tmp_path / "logs").mkdir()
    subprocess.run(["bash", "-c", rank.shell_line()], check=True)
    seen = eval((tmp_path / "logs" / "msrun.log").read_text())
    for name in ("RANK_TABLE_FILE", "DEVICE_ID"):
        assert name not in seen
        assert name not in rank.whole_environment()
    assert seen["ASCEND_RT_VISIBLE_DEVICES"] == "1,3"


def test_servers_of_different_size_are_refused_by_msrun_alone(tmp_path):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0, 1]), ("10.9.8.7", [0]))
    with pytest.raises(InputError, match="servers with 2, 1 devices; msrun numbers the ranks"):
        plans.of_table(path, TRAIN, tmp_path, mindspore=NEW)
    assert len(plans.of_table(path, TRAIN, tmp_path, mindspore=OLD)) == 2


def test_devices_that_are_not_there(tmp_path):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0, 1, 8]))
    folder = tmp_path / "dev"
    folder.mkdir()
    with pytest.raises(InputError, match=r"device 0, 1, 8 is not on this server \(it has none\)"):
        plans.check_devices(path, None, folder, {})
    for name in ("davinci0", "davinci1", "davinci2", "davinci_manager"):
        (folder / name).touch()
    with pytest.raises(InputError, match=r"device 8 is not on this server \(it has 0, 1, 2\)"):
        plans.check_devices(path, None, folder, {})
    (folder / "davinci8").touch()
    plans.check_devices(path, None, folder, {})
    preset = {"ASCEND_RT_VISIBLE_DEVICES": "0,3"}  # of those there, counted from 0
    with pytest.raises(InputError, match="device 1 is not .* ASCEND_RT_VISIBLE_DEVICES leaves"):
        plans.check_devices(path, None, folder, preset)


def test_a_container_with_some_devices_of_the_server(tmp_path):
    """The table has the driver's numbers, CANN counts what the container has from 0."""
    path = table(tmp_path / "table.json", ("127.0.0.1", [6, 4]))
    for name in ("davinci4", "davinci5", "davinci6"):
        (tmp_path / name).touch()
    options = MsrunOptions(free_port())
    (rank,) = plans.of_table(
        path, TRAIN, tmp_path, None, options, mindspore=NEW, device_folder=tmp_path
    )
    assert rank.environment["ASCEND_RT_VISIBLE_DEVICES"] == "0,2"


def test_no_msrun(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match="msrun: no such file; msrun comes with MindSpore") as said:
        plans.of_workers(2, TRAIN, tmp_path, options=MsrunOptions(free_port()))
    assert len(said.value.problems) == 1


def test_the_versions_that_read_tables():
    from ms_restore.parallel import reads_rank_tables

    versions = ["1.10.1", "2.2.14", "2.7.1", "2.8.0", "2.10.0", "2.11.0rc1", "3.0"]
    assert [v for v in versions if reads_rank_tables(v)] == ["1.10.1", "2.2.14", "2.7.1"]
    assert not reads_rank_tables(plans.mindspore_version())


@pytest.mark.parametrize("before", [True, False])
def test_options_of_train_are_passed_on(in_process, before):
    port = ["--master_port", free_port()]
    train = ["--device_target", "CPU", "--train.lr", "1e-5", "--allow_changes"]
    words = [*train, "--", "--model", "edsr"] if before else ["--", *train, "--model", "edsr"]
    done = in_process("launch", "--workers", 2, *port, "--dry_run", *words)
    assert done.returncode == 0, done.stderr
    assert f"rank_main.py {shlex.join(train)} --model edsr > " in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device_target", "CPU", "edsr_quickstart"], "unexpected argument 'edsr_quickstart'; a"),
        (["--device_traget", "CPU"], "unknown option --device_traget (did you mean '--device_ta"),
        (["--bind_cores"], "unknown option --bind_cores (did you mean '--bind_core'"),
    ],
)
def test_other_words_before_the_dashes(in_process, words, message):
    done = in_process("launch", "--workers", 2, "--dry_run", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_table_trains_two_real_ranks_by_msrun(tiny, pictures, tmp_path, monkeypatch, capfd):
    """With the preset RANK_TABLE_FILE of a notebook, and bound to cores; devices are not asked."""
    monkeypatch.setenv("RANK_TABLE_FILE", "/preset/by/the/notebook.json")
    monkeypatch.chdir(Path(__file__).parents[2])
    path = table(tmp_path / "table.json", ("127.0.0.1", [4, 5]))
    run = ["--model", tiny, "--data_dir", pictures, "--output_dir", tmp_path / "run"]
    own = ["--rank_table", path, "--master_port", free_port(), "--log_dir", tmp_path / "ranks"]
    words = [*own, "--bind_core", "--cluster_time_out", 60, "--device_target", "CPU", "--", *run]
    cli.main(["launch", *map(str, [*words, "--max_steps", 1])])
    said = capfd.readouterr().out
    assert f"2 ranks here, logs in {tmp_path / 'ranks'}" in said
    assert "1 steps in" in logs(tmp_path)
    names = {log.name for log in (tmp_path / "ranks").iterdir()}
    assert {"worker_0.log", "worker_1.log", "scheduler.log", "msrun.log"} <= names
    assert (tmp_path / "run" / "best.ckpt").exists()


def test_without_the_devices_of_the_table_nothing_starts(tmp_path, in_process):
    if ascend.devices():
        pytest.skip("there are some")
    path = table(tmp_path / "table.json", ("127.0.0.1", [0]))
    log_dir = tmp_path / "ranks"
    own = ["--rank_table", path, "--master_port", free_port(), "--log_dir", log_dir]
    done = in_process("launch", *own, "--", "--model", "edsr")
    assert done.returncode == 2
    assert "device 0 is not on this server (it has none)" in done.stderr
    assert not log_dir.exists()
    assert "ASCEND_RT_VISIBLE_DEVICES" not in os.environ

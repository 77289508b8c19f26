"""The launcher with a stand-in for the training command; real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ms_restore.errors import InputError
from ms_restore.launch import jobs, plans, rank_table
from ms_restore.launch.plans import MsrunOptions

TOP = Path(__file__).parents[2]
SHOW = (
    "import os; print({k: os.environ[k] for k in sorted(os.environ) if 'RANK' in k or 'DEV' in k})"
)


def table(path, *servers):
    """A rank table; each server is its id and its devices' numbers."""
    rank = iter(range(64))
    entries = [
        {
            "server_id": server,
            "device": [
                {"device_id": str(d), "device_ip": f"192.1.{n}.{d}", "rank_id": str(next(rank))}
                for d in devices
            ],
        }
        for n, (server, devices) in enumerate(servers)
    ]
    content = {"version": "1.0", "server_count": str(len(entries)), "server_list": entries}
    path.write_text(json.dumps({**content, "status": "completed"}))
    return path


def _ranks(path, code, logs):
    """A process for each device of the table, as a MindSpore that reads it needs them."""
    return plans.of_table(path, ["-c", code], logs, mindspore="2.7.1")


@pytest.mark.parametrize(
    ("servers", "own"),
    [
        ([("127.0.0.1", [3])], {0: 3}),
        ([("127.0.0.1", range(8))], {n: n for n in range(8)}),
        ([("10.9.8.7", [0, 1]), ("127.0.0.1", [4, 5])], {2: 4, 3: 5}),
    ],
    ids=["one device", "eight devices", "two servers"],
)
def test_environment_of_every_rank(tmp_path, servers, own):
    path = table(tmp_path / "a table.json", *servers)
    ranks = _ranks(path, SHOW, tmp_path / "logs")
    assert jobs.run(ranks) == 0
    size = sum(len(devices) for _, devices in servers)
    assert sorted(log.name for log in (tmp_path / "logs").iterdir()) == sorted(
        f"rank_{rank}.log" for rank in own
    )
    for rank, device in own.items():
        said = eval((tmp_path / "logs" / f"rank_{rank}.log").read_text())
        assert said["RANK_ID"] == str(rank)
        assert said["DEVICE_ID"] == str(device)
        assert said["RANK_SIZE"] == str(size)
        assert said["RANK_TABLE_FILE"] == str(path)


def test_the_first_rank_that_fails_ends_the_others_and_is_named(tmp_path, capsys):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0, 1, 2]))
    code = (
        "import os, sys, time\n"
        "rank = os.environ['RANK_ID']\n"
        "if rank == '1':\n    print('no such folder'); sys.exit(7)\n"
        "time.sleep(100)"
    )
    began = time.monotonic()
    ranks = _ranks(path, code, tmp_path / "logs")
    assert jobs.run(ranks) == 7
    assert time.monotonic() - began < 60  # the others did not run out
    said = capsys.readouterr().out
    assert "rank 1 failed (exit code 7); its log: " in said
    assert "rank_1.log" in said
    assert "no such folder" in said


def test_a_killed_rank_is_named(tmp_path, capsys):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0]))
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert jobs.run(_ranks(path, code, tmp_path)) == 137
    assert "rank 0 failed (killed by SIGKILL)" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_ranks_which_save_first(tmp_path, number):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0, 1]))
    code = (
        "import os, signal, sys, time\n"
        "def stop(*_):\n"
        f"    open(r'{tmp_path}/saved' + os.environ['RANK_ID'], 'w').close(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"open(r'{tmp_path}/up' + os.environ['RANK_ID'], 'w').close()\n"
        "time.sleep(100)"
    )
    starter = (
        "import sys; from pathlib import Path; from ms_restore.launch import jobs, plans\n"
        f"ranks = plans.of_table(Path(r'{path}'), ['-c', sys.argv[1]], Path(r'{tmp_path}'), "
        "mindspore='2.7.1')\n"
        "sys.exit(jobs.run(ranks))"
    )
    job = subprocess.Popen([sys.executable, "-c", starter, code], cwd=TOP)
    until = time.monotonic() + 60
    while not all((tmp_path / f"up{rank}").exists() for rank in range(2)):
        assert time.monotonic() < until
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(60) == 128 + number
    assert (tmp_path / "saved0").exists()
    assert (tmp_path / "saved1").exists()


def _changed(tmp_path, change):
    path = table(tmp_path / "table.json", ("127.0.0.1", [0, 1]))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(version="2.0"), "version '2.0', expected '1.0'"),
        (lambda t: t.update(server_count="3"), "server_count is 3, but server_list has 1"),
        (lambda t: t.pop("server_list"), "not of the layout server_count, server_list"),
        (lambda t: t["server_list"][0]["device"].clear(), "no device in it"),
        (lambda t: t["server_list"][0]["device"][1].pop("rank_id"), "not of the layout"),
        (lambda t: t.update(server_count=float("inf")), "not of the layout"),
        (lambda t: t["server_list"][0]["device"][1].update(rank_id="0"), "rank_id 0, 0, expected"),
        (lambda t: t["server_list"][0]["device"][1].update(rank_id="5"), "rank_id 0, 5, expected"),
        (
            lambda t: t["server_list"][0]["device"][1].update(device_id="0"),
            "device 0 of 127.0.0.1 is listed twice",
        ),
        (lambda t: t["server_list"][0].update(server_id="10.1.2.3"), "not in the rank table"),
    ],
)
def test_bad_tables(tmp_path, change, message):
    path = _changed(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        rank_table.server_devices(rank_table.read(path))
    assert all("\n" not in problem for problem in caught.value.problems)


def _groups(path, status="completed"):
    """A table as ModelArts writes it: two servers, a folder for RANK_TABLE_FILE."""
    instances = [
        {"devices": [{"device_id": str(d), "device_ip": f"192.1.{n}.{d}"} for d in (4, 5)]}
        | {"pod_name": f"job-{n}", "server_id": server}
        for n, server in enumerate(("10.9.8.7", "127.0.0.1"))
    ]
    group = {"device_count": "4", "group_name": "job", "instance_count": "2"}
    table = {"group_count": "1", "group_list": [{**group, "instance_list": instances}]}
    (path / "jobstart_hccl.json").write_text(json.dumps({**table, "status": status}))
    return path


def test_the_table_of_modelarts(tmp_path):
    devices = rank_table.server_devices(rank_table.read(_groups(tmp_path)))
    assert [(d.rank, d.device) for d in devices] == [(2, 4), (3, 5)]
    with pytest.raises(InputError, match="status 'initializing'; start again when it is 'compl"):
        rank_table.read(_groups(tmp_path, "initializing"))
    (tmp_path / "jobstart_hccl.json").write_text('{"group_list": [{}], "status": "completed"}')
    with pytest.raises(InputError, match="not of the layout group_list, instance_list"):
        rank_table.read(tmp_path)


def test_no_table_and_no_json(tmp_path):
    with pytest.raises(InputError, match="absent.json: cannot be read"):
        rank_table.read(tmp_path / "absent.json")
    (tmp_path / "table.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        rank_table.read(tmp_path / "table.json")


def test_a_table_is_written_from_the_drivers_addresses(tmp_path):
    hccn = tmp_path / "hccn.conf"
    hccn.write_text(
        "".join(f"address_{n}=192.98.1.{n}\nnetmask_{n}=255.255.0.0\n" for n in range(8))
    )
    path = rank_table.write(tmp_path / "table.json", "2-4,7", "127.0.0.1", hccn)
    devices = rank_table.server_devices(rank_table.read(path))
    assert [(d.rank, d.device) for d in devices] == [(0, 2), (1, 3), (2, 4), (3, 7)]
    entry = json.loads(path.read_text())["server_list"][0]["device"][3]
    assert entry == {"device_id": "7", "device_ip": "192.98.1.7", "rank_id": "3"}
    with pytest.raises(InputError, match="has no address for device 8; it has 0, 1"):
        rank_table.write(tmp_path / "table.json", "7-8", None, hccn)
    with pytest.raises(InputError, match="expected such as 0-7"):
        rank_table.write(tmp_path / "table.json", "all", None, hccn)
    with pytest.raises(InputError, match="a device is listed twice"):
        rank_table.write(tmp_path / "table.json", "1,1", None, hccn)
    with pytest.raises(InputError, match="cannot be read .* Ascend's driver"):
        rank_table.write(tmp_path / "table.json", "0", None, tmp_path / "absent")


def test_msruns_port_and_hosts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ranks = plans.of_workers(2, ["train.py"], tmp_path, options=MsrunOptions(port))
        with pytest.raises(InputError, match=f"port {port} is in use"):
            jobs.run(ranks)
    with pytest.raises(InputError, match="0 workers, 1 nodes"):
        plans.of_workers(0, ["train.py"], tmp_path)
    hosts = {"nodes": 2, "node_rank": 1, "master_addr": "10.0.0.1"}
    (rank,) = plans.of_workers(4, ["train.py"], tmp_path, **hosts)
    assert "--worker_num=8" in rank.command
    assert "--local_worker_num=4" in rank.command
    assert "--node_rank=1" in rank.command
    assert "--master_addr=10.0.0.1" in rank.command


SCRIPT = TOP / "scripts" / "run_distribute_train.sh"


def _dry(tmp_path, *arguments):
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=600,
    )


@pytest.mark.skipif(
    not (TOP / ".venv" / "bin" / "ms-restore").exists(), reason="the scripts' own .venv is not made"
)
def test_the_script_from_another_folder_with_spaces(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    table(folder / "table.json", ("127.0.0.1", [0, 1]))
    done = _dry(folder, "table.json", "edsr_x4", "my data", "--dry_run", "--", "--train.lr", "1e-5")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert "ASCEND_RT_VISIBLE_DEVICES=0,1 " in line
    assert f"--model edsr_x4 --data_dir '{folder / 'my data'}' --train.lr 1e-5" in line
    done = _dry(folder, "table.json", "--dry_run", "--device_target", "Ascend")
    assert "rank_main.py --device_target Ascend --model edsr " in done.stdout
    assert _dry(folder, "absent.json").returncode == 2
    assert _dry(folder).returncode == 2

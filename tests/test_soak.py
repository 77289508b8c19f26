"""A short form of the soak that ``scripts/soak.sh`` runs: a kill, and pictures of many sizes."""

import pytest

from tests.soak import inferences, kills

pytestmark = pytest.mark.slow


def test_killed_and_done_as_without_a_kill(tmp_path):
    """Kills of train are in training/test_resume.py, of prepare in preparation."""
    case = kills.cases(tmp_path)["infer"]
    kills.kill_and_finish("infer", case, tmp_path / "infer", kills=1)


@pytest.mark.parametrize(
    "verb",
    [pytest.param(verb, marks=pytest.mark.long) for verb in ("infer", "export", "convert")],
)
def test_two_processes_write_the_same_files(tmp_path, verb):
    """At the same time: both end well, and the files are those of one."""
    case = kills.cases(tmp_path)[verb]
    alone, shared = tmp_path / "alone" / verb, tmp_path / "shared" / verb
    for folder in (alone, shared):
        folder.mkdir(parents=True)
    kills.finish(case.arguments(alone))
    both = [kills.start(case.arguments(shared)) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert case.written(shared) == case.written(alone)


@pytest.mark.parametrize("engine", inferences.ENGINES)
def test_memory_and_open_files_stay_flat(run, engine):
    growth = inferences.restore_many(run.folder, engine, 120)
    assert growth.files == 0
    assert growth.memory < 40e6  # less than a picture's memory for each of 60

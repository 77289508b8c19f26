"""Damaged files of every kind that is read: a result or an InputError of one line, nothing else.

``scripts/soak.sh`` runs many more. A case that fails is named by its reader and number; it is read
again by ``python -m tests.fuzzing.child SEEDS SEED READER EACH NUMBER FILE``, with SEEDS written by
``tests.fuzzing.seeds.make``.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzzing import readers, seeds, soak
from tests.fuzzing.mutations import mutate

pytest.importorskip("torch", reason="PyTorch is an optional peer")
for package in ("h5py", "nibabel", "onnxruntime", "rawpy", "safetensors", "tifffile"):
    pytest.importorskip(package, reason="the readers are tried together")

SEED = "suite"
EACH = {"light": 75, "heavy": 60}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("seeds")
    seeds.make(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("group", ["light", "heavy"])
def test_damaged_files(folder, group):
    names = list({"light": readers.LIGHT, "heavy": readers.HEAVY}[group])
    found = soak.run(folder, names, EACH[group], SEED)
    failures = [f"{f.reader}, case {line}" for f in found for line in f.failures]
    assert not failures, "\n".join(failures)
    for figures in found:
        assert figures.cases == EACH[group]
        assert figures.refused > EACH[group] // 5, figures.reader
        assert figures.slowest < soak.SECONDS


def test_there_are_enough():
    count = EACH["light"] * len(readers.LIGHT) + EACH["heavy"] * len(readers.HEAVY)
    assert count >= 2000


def test_the_same_seed_damages_alike():
    content = bytes(range(200)) * 3
    made = [mutate(random.Random("a 3"), content, content[::-1]) for _ in range(2)]
    assert made[0] == made[1] != content


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("raise KeyError('x')", "KeyError: \"'x'\""),
        ("x = bytearray(3 << 30); x[::4096] = b'1' * len(x[::4096])", "MB of memory"),
        ("import time; time.sleep(60)", "over 1 s"),
        ("from ms_restore.errors import InputError; raise InputError('a\\nb')", "several lines"),
    ],
)
def test_what_must_not_happen_is_seen(code, said, tmp_path, monkeypatch):
    """A reader that does it, in a process of its own."""
    (tmp_path / "seeds" / "bad").mkdir(parents=True)
    (tmp_path / "seeds" / "bad" / "a").write_bytes(b"whole")
    child = tmp_path / "child.py"
    child.write_text(
        "import sys\n"
        "from tests.fuzzing import child, readers\n"
        "def bad(path):\n"
        "    if path.read_bytes() != b'whole':\n"
        f"        {code}\n"
        "readers.READERS['bad'] = bad\n"
        "child.main(*sys.argv[1:])\n"
    )
    monkeypatch.setattr(soak, "SECONDS", 1 if "sleep" in code else 30)
    monkeypatch.setattr(soak, "CHILD", [str(child)])
    monkeypatch.setenv("PYTHONPATH", str(soak.TOP))
    (figures,) = soak.run(tmp_path / "seeds", ["bad"], 2, "1")
    assert figures.cases == 2
    assert figures.failures
    assert all(said in line for line in figures.failures)

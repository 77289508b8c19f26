"""How the library of compiled operators is made, kept and opened, and what goes wrong with it."""

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest
from mindspore import nn, ops

from ms_restore import recipe, registry
from ms_restore.training.cpu_operators import Unavailable, library
from ms_restore.training.step_builder import build_step

pytestmark = pytest.mark.usefixtures("compiled")


def test_loops_are_those_of_the_processor():
    """The product of a sum's second term is not rounded where the processor adds it at once."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    if shutil.which("g++") is None or not {"avx2", "fma", "bmi2", "movbe"} <= flags:
        pytest.skip("loops are compiled for several processors by g++, for those with AVX2")
    a, b = np.zeros((2, 32), np.float32)
    a[0], b[0] = -1, 1 + 2**-11
    a[16] = b[16] = 1 + 2**-12
    dot = ctypes.CDLL(str(library.operators()))["_Z3DotPKfS0_l"]
    dot.restype = ctypes.c_float
    numbers = ctypes.POINTER(ctypes.c_float)
    arguments = (x.ctypes.data_as(numbers) for x in (a, b))
    assert dot(*arguments, ctypes.c_int64(32)) == 2**-24


def test_without_a_compiler_mindspore_computes(tmp_path, monkeypatch, capsys, fresh):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    ours = recipe.load("dncnn_quickstart")
    network = registry.build("network", ours.network)
    build_step(network, ours)
    line = "operators of MindSpore, which train slower than compiled ones: no C++ compiler found"
    assert line in " ".join(capsys.readouterr().out.split())
    convolutions = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.Conv2d)]
    assert all(isinstance(cell.conv2d, ops.Conv2D) for cell in convolutions)


def test_a_compiler_that_fails(tmp_path, monkeypatch, fresh):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'no header here' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(Unavailable, match=r"g\+\+ failed: no header here"):
        library.operators()
    assert list((tmp_path / "cache" / "ms_restore").iterdir()) == []


def test_compiled_once_for_the_same_flags(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / "g++"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"\n')
    compiler.chmod(0o755)
    first = library._compiled()
    compiler.unlink()
    assert library._compiled() == first
    monkeypatch.setattr(library, "_FLAGS", ("-O1",))
    with pytest.raises(Unavailable, match="no C"):
        library._compiled()


@pytest.mark.parametrize("kept", [0, 100])
def test_a_library_that_was_cut_short_is_compiled_again(kept, tmp_path, monkeypatch):
    """Loading it would end the process, without a word."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    compiler = tmp_path / "g++"
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nseq 999 > "$2"\n')
    compiler.chmod(0o755)
    library_file = library._compiled()
    whole = library_file.read_bytes()
    library_file.write_bytes(whole[:kept])
    assert library._compiled().read_bytes() == whole
    assert len(list(library_file.parent.iterdir())) == 1


def test_operators_that_do_not_load(tmp_path, monkeypatch, fresh):
    """As of a home that another machine compiled for."""
    (tmp_path / "operators.so").write_bytes(b"of another kind")
    monkeypatch.setattr(library, "_compiled", lambda: tmp_path / "operators.so")
    with pytest.raises(Unavailable, match=r"operators\.so"):
        library.operators()


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, fresh):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(Unavailable, match="cache/ms_restore cannot be written"):
        library.operators()

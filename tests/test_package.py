"""What the wheel and the sdist carry, and that an installed wheel finds it."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ms_restore import api
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture

pytestmark = pytest.mark.slow
LISTS = [f"models/{name}.yaml" for name in ("weights", "facts", "figures")]

TOP = Path(__file__).parents[1]
DATE = "1700000000"  # of the wheel's entries, as scripts/build.sh takes that of the commit
RECIPES = sorted(path.relative_to(TOP) for path in TOP.glob("models/*/*.yaml"))
WEIGHTS = sorted(path.relative_to(TOP) for path in TOP.glob("models/*/weights/*.ckpt"))
CARDS = sorted(path.relative_to(TOP) for path in TOP.glob("[md][oa][dt]*/*/README.md"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(TOP)],
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": DATE},
    )
    return folder


def test_the_wheel_is_the_same_byte_for_byte(built, tmp_path):
    """Built later and elsewhere."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        if path.is_file():
            os.utime(path, (2_000_000_000, 2_000_000_000))
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "out"), str(source)],
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": DATE},
    )
    (again,) = (tmp_path / "out").glob("*.whl")
    assert again.read_bytes() == (built / again.name).read_bytes()


def test_both_carry_recipes_cards_and_operators(built):
    assert len(RECIPES) >= 8
    assert len(CARDS) >= 2
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    for path in (*RECIPES, *CARDS, *WEIGHTS, *LISTS):
        assert f"ms_restore/recipes/{path}" in names
    operators = [
        f"ms_restore/training/cpu_operators/{name}"
        for name in ("convolution.cc", "images.cc", "workers.cc", "workers.h")
    ]
    assert names.issuperset(operators)
    assert "ms_restore/metrics/niqe_pristine.npz" in names
    assert names.issuperset(f"ms_restore/report/page.{kind}" for kind in ("html", "css", "js"))
    assert {name.split("/")[0] for name in names} <= {
        "ms_restore",
        next(n for n in names if n.endswith("/WHEEL")).split("/")[0],
    }
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inside = {name.partition("/")[2] for name in sdist.getnames()}
    for path in (
        *RECIPES,
        *CARDS,
        *WEIGHTS,
        *LISTS,
        *operators,
        "setup.py",
        "LICENSE",
        "train.py",
        "scripts/quickstart.sh",
    ):
        assert str(path) in inside


def test_the_wheel_stays_small(built):
    assert next(built.glob("*.whl")).stat().st_size < 20_000_000
    sizes = [(TOP / path).stat().st_size for path in WEIGHTS]
    assert max(sizes, default=0) < 3_000_000
    assert sum(sizes) < 15_000_000


def test_an_unpacked_wheel_finds_its_recipes(built, tmp_path):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    code = (
        "import ms_restore; from ms_restore.cli import main; "
        "print(ms_restore.__file__); main(['models'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in shown.stdout
    assert "edsr_baseline_x4" in shown.stdout


def test_serving_needs_the_dependencies_without_mindspore():
    listed = (TOP / "scripts" / "requirements-serving.txt").read_text(encoding="utf-8")
    project = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    whole = re.search(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)[1]
    needed = [n for n in re.findall(r'^\s*"([^"]+)"', whole, re.MULTILINE) if "mindspore" not in n]
    assert listed.splitlines()[1:] == [*needed, "onnxruntime>=1.18"]


@pytest.mark.long
def test_an_install_without_mindspore_restores_a_picture(run, tmp_path):
    """By the script, in an environment of its own."""
    api.export(run.folder, tmp_path / "net.onnx", device_target="CPU")
    write_picture(tmp_path / "in.png", Picture(np.zeros((20, 24, 3), np.uint8)))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    script = TOP / "scripts" / "install_serving.sh"
    subprocess.run(["bash", script, tmp_path / "env" / "bin" / "python"], check=True, cwd=tmp_path)
    command = [tmp_path / "env" / "bin" / "ms-restore", "infer", "--checkpoint", "net.onnx"]
    command += ["--input", "in.png", "--output", "out.png"]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert read_picture(tmp_path / "out.png").pixels.shape == (40, 48, 3)
    code = "import importlib.util as u; print(u.find_spec('mindspore'))"
    found = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", code], capture_output=True, text=True
    )
    assert found.stdout == "None\n"

"""Which raw files belong together, and how much longer one was exposed than the other."""

from pathlib import Path

import numpy as np
import pytest

from ms_restore.data import exposures
from ms_restore.preparation import scenes

dng = pytest.importorskip("tests.fixtures.dng")


@pytest.mark.parametrize(("short", "ratio"), [("0.1s", 100), ("0.04s", 250), ("0.01s", 300)])
def test_ratios_are_limited(short, ratio):
    names = f"00001_00_{short}.ARW", "00001_00_10s.ARW"
    assert exposures.exposure_ratio(*map(Path, names)) == pytest.approx(ratio)


def test_an_exposure_of_nothing_is_read_from_the_header(tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / "00001_00_0s.dng"
    dng.write(path, np.full((64, 64), 99), dng.ORDERS["RGGB"], exposure=0.25)
    assert exposures.exposure_seconds(path) == pytest.approx(0.25)


def _names(found):
    return {
        part: [[path.name for path in (one.long, *one.shorts)] for one in of_part]
        for part, of_part in found.items()
    }


def test_a_scene_is_its_part_and_its_number(tmp_path, capsys):
    """Capital suffixes too; a long exposure alone is told."""
    for name in ("short/00001_00_0.1s", "short/01001_00_0.1s", "short/10001_00_0.1s",
                 "long/00001_00_10s", "long/01001_00_10s", "long/10001_00_10s",
                 "long/00009_00_10s"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.ARW").touch()
    found, problems = scenes.find(tmp_path)
    assert problems == []
    assert _names(found) == {
        "train": [
            ["00001_00_10s.ARW", "00001_00_0.1s.ARW"],
            ["01001_00_10s.ARW", "01001_00_0.1s.ARW"],
        ],
        "test": [["10001_00_10s.ARW", "10001_00_0.1s.ARW"]],
    }
    said = " ".join(capsys.readouterr().out.split())
    assert "1 without a short exposure: 00009_00_10s.ARW" in said


@pytest.mark.parametrize(("name", "part"), [("train", "train"), ("val", "valid"), ("test", "test")])
def test_the_list_of_each_part(name, part, tmp_path):
    for path in ("a.RAF", "b.RAF"):
        (tmp_path / path).touch()
    (tmp_path / f"Fuji_{name}_list.txt").write_text("./a.RAF ./b.RAF ISO200 F8\n")
    found, problems = scenes.find(tmp_path)
    assert (_names(found), problems) == ({part: [["b.RAF", "a.RAF"]]}, [])

"""models: what the table shows, and that its figures are those of the models' cards."""

import re

import pytest
import yaml

from ms_restore import recipe
from ms_restore.errors import InputError
from ms_restore.report import tables
from ms_restore.verbs.models import models_table

GROUPS = yaml.safe_load((recipe.folder() / "figures.yaml").read_text())
STATED = {name: (psnr, group) for group in GROUPS for name, psnr in group["psnr"].items()}


@pytest.mark.parametrize("name", STATED)
def test_every_figure_stands_in_the_model_s_card(name):
    psnr, group = STATED[name]
    card = (recipe.files()[name].parent / "README.md").read_text()
    digits = len(str(psnr).partition(".")[2]) if isinstance(psnr, str) else 2
    rounded = {round(float(number), digits) for number in re.findall(r"\d+\.\d+", card)}
    assert float(psnr) in rounded
    assert group["source"].startswith(("measured", "published"))


def test_each_model_has_one_figure():
    assert len(STATED) == sum(len(group["psnr"]) for group in GROUPS)


def test_the_table_fits_and_says_where_its_figures_are_from(monkeypatch, capsys):
    monkeypatch.setattr(tables.console, "_width", 80)
    rows = {row.name: row for row in models_table()}
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert set(rows) == set(recipe.files())
    for name, row in rows.items():
        assert row.name in said
        assert bool(row.psnr) == (name in STATED)
    rows = {row.name: row for row in models_table("edsr", "here")}
    said = capsys.readouterr().out
    assert [(name, row.psnr) for name, row in rows.items()] == [
        ("edsr_small_x2", "37.07a"),
        ("edsr_small_x4", "30.71a"),
    ]
    assert "a: dB, Set5, sr-y; measured" in said and "published" not in said
    with pytest.raises(InputError, match="no such model; networks: dmsp, dncnn"):
        models_table("edsr", "yours and mine")

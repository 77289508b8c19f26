import json

import pytest

from ms_restore import api
from ms_restore.errors import InputError

pytestmark = pytest.mark.slow


def test_a_performance_run_measures_and_leaves_nothing_else(tiny, tmp_path):
    figures = api.performance(tiny, output_dir=tmp_path, max_steps=9, device_target="CPU")
    assert figures["steps"] == 4  # after five of warm-up
    assert figures["images_per_step"] == 2
    assert 0 < figures["slowest"] <= figures["images_per_second"] <= figures["fastest"]
    assert 0 <= figures["data_wait"] <= 1
    assert json.loads((tmp_path / "performance.json").read_text()) == figures
    assert [path.name for path in tmp_path.iterdir()] == ["performance.json"]


def test_too_few_steps(tiny):
    with pytest.raises(InputError, match="max_steps 5: a performance run needs more than 5"):
        api.performance(tiny, max_steps=5, device_target="CPU")


def test_on_the_command_line(in_process, tiny):
    done = in_process(
        "train", "--model", tiny, "--performance", "--max_steps", 7, "--device_target", "CPU"
    )
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout
    assert "data wait" in done.stdout
    refused = in_process("train", "--model", tiny, "--performance", "--resume", "somewhere")
    assert refused.returncode == 2
    assert "leave --resume out" in refused.stderr

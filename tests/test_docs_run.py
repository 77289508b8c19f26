"""The commands of the quick start and of the tasks' pages, run in the order of the page.

Trainings are of two steps and two patches. What must be downloaded, or needs files of cameras and
scanners, is left out; it is parsed in test_docs.py.
"""

import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from ms_restore.data import photos
from tests.fixtures import docs_commands

PAGES = [page for page in docs_commands.PAGES if re.match(r"docs/(quick_start\.|tasks/)", page)]
LEFT_OUT = re.compile(
    r"--download|edsr_baseline_x4|drunet_color|--source|sid_sony|^pip |^python3|--device_target Asc"
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of each name that the pages take."""
    photo = photos.load("coffee")[60:108, 190:254]
    gray = photo[:, :, 1]
    for name in ("photo.jpg", "noisy.png", "blurred.png", "small.png", "holes.png"):
        PIL.Image.fromarray(photo).save(tmp_path / name)
    for name in ("noisy_gray.png", "mosaic.png"):
        PIL.Image.fromarray(gray).save(tmp_path / name)
    known = np.random.default_rng(0).random(gray.shape) < 0.8
    PIL.Image.fromarray(known.astype(np.uint8) * 255).save(tmp_path / "known.png")
    (tmp_path / "my_photos").mkdir()
    for name in photos.HELD_OUT:
        whole = PIL.Image.fromarray(photos.load(name).squeeze())
        whole.save(tmp_path / "my_photos" / f"{name}.png")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, folder, in_process):
    run = 0
    for line in docs_commands.commands(page):
        if LEFT_OUT.search(line) or not re.match("ms-restore|python -c", line):
            continue
        for words in docs_commands.simple_commands(line):
            if words[0] == "python":
                subprocess.run([sys.executable, *words[1:]], cwd=folder, check=True)
                continue
            steps = "3" if "--resume" in words else "2"
            short = ("--max_steps", steps, "--train.batch_size", "2")
            short = short if words[1] == "train" else ()
            done = in_process(*words[1:], *short, cwd=folder)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            if "--output" in words:
                assert (folder / words[words.index("--output") + 1]).is_file(), line
            run += 1
    assert run >= 2

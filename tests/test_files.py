"""Files that are written whole or not at all, from several threads."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ms_restore.files import atomic_write


@pytest.mark.parametrize("length", [20, 246, 247, 255])
def test_names_of_any_length_are_written(tmp_path, length):
    path = tmp_path / ("é" * (length // 2 - 2) + "x" * (length % 2) + ".png")
    with atomic_write(path) as temporary:
        temporary.write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_threads_that_write_leave_the_mask_as_it_is(tmp_path):
    """The mask can be read by changing it alone: two threads at once would lose it."""
    before = os.umask(0o027)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def write(number):
        path = tmp_path / f"{number}.txt"
        with atomic_write(path) as temporary:
            temporary.write_text("x")
        return path.stat().st_mode & 0o777

    try:
        with ThreadPoolExecutor(8) as threads:
            modes = set(threads.map(write, range(2000)))
        assert modes == {0o640}
        assert os.umask(0o027) == 0o027
    finally:
        sys.setswitchinterval(interval)
        os.umask(before)

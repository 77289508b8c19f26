import os
import subprocess
import sys
from pathlib import Path

import pytest

import ms_restore
from ms_restore import runtime
from ms_restore.errors import InputError

TOP = Path(__file__).parents[1]
AVX512 = pytest.mark.skipif(
    "avx512f" not in runtime._cpu_flags(), reason="the setting is for processors with AVX-512"
)
SHOW = "import os; print(os.environ.get('ONEDNN_MAX_CPU_ISA'))"


def _without_setting():
    return {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}


@AVX512
def test_importing_the_package_sets_it_before_mindspore_loads():
    code = f"import sys, ms_restore; assert 'mindspore' not in sys.modules; {SHOW}"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env=_without_setting(),
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "AVX2"


@AVX512
@pytest.mark.parametrize("script", ["train.py", "eval.py", "infer.py", "export.py", "-m"])
def test_every_entry_point_sets_it(script, tmp_path):
    """A sitecustomize on the path prints the setting when the process ends."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import atexit\natexit.register(lambda: exec({SHOW!r}))"
    )
    arguments = [script, "ms_restore"] if script == "-m" else [script]
    shown = subprocess.run(
        [sys.executable, *arguments, "--help"],
        env={**_without_setting(), "PYTHONPATH": str(tmp_path)},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.splitlines()[-1] == "AVX2"


def test_the_users_own_setting_is_kept():
    shown = subprocess.run(
        [sys.executable, "-c", f"import ms_restore; {SHOW}"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "SSE41"},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "SSE41"


@AVX512
def test_convolution_takes_the_fast_path():
    """A sanity bound, far from noise: without the setting the ratio is in the hundreds.

    The same 0.68 GFLOP as a 3x3 convolution and as a matrix product, best of several each.
    """
    import time

    import mindspore as ms
    import numpy as np

    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    convolve = ms.nn.Conv2d(64, 64, 3, pad_mode="pad", padding=1)
    image = ms.Tensor(np.ones((4, 64, 48, 48), np.float32))
    left = ms.Tensor(np.ones((64, 576), np.float32))
    right = ms.Tensor(np.ones((576, 4 * 48 * 48), np.float32))

    def best(function, *arguments):
        times = []
        for _ in range(6):
            began = time.perf_counter()
            function(*arguments).asnumpy()
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(convolve, image) < 30 * best(ms.ops.matmul, left, right)


def test_seed_makes_the_same_weights():
    from ms_restore.networks.edsr import EDSR

    def weights(seed):
        runtime.start("CPU", seed=seed)
        return EDSR(blocks=1, filters=4).head.weight.asnumpy()

    first, again, other = weights(1), weights(1), weights(2)
    assert (first == again).all()
    assert not (first == other).all()


@pytest.mark.parametrize("target", ["Ascend", "GPU"])
def test_a_device_that_is_not_there(target):
    import mindspore as ms

    if target == "Ascend" and ms.hal.is_available(target):
        pytest.skip("there is one")
    with pytest.raises(InputError, match=f"{target}.*found 'CPU'.*--device_target CPU"):
        runtime.start(target)


def test_unknown_device():
    with pytest.raises(InputError, match="'TPU' is not known; choose CPU, Ascend, GPU"):
        runtime.start("TPU")


def test_public_functions_are_found_and_others_are_not():
    assert callable(ms_restore.load_model)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ms_restore.nothing  # noqa: B018

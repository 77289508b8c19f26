"""Every network computes operation by operation too, as ``--mode pynative`` asks."""

import subprocess
import sys

import pytest

CHILD = """
import sys
import mindspore as ms, numpy as np
from ms_restore import recipe, registry, runtime
from ms_restore.contracts import Geometry
from tests.conftest import reduced, TOP
import yaml
models = [m for p in sorted((TOP / "models").glob("*/reduced.yml"))
          for m in yaml.safe_load(p.read_text(encoding="utf-8"))]
runtime.start("CPU", mode="pynative")
for model in models:
    network = registry.build("network", recipe.load(model, reduced(model)).network)
    geometry = Geometry.of(network)
    side = geometry.side or 2 * geometry.size_multiple
    y = np.random.default_rng(0).random((1, geometry.input_channels, side, side), np.float32)
    x_hat = network.set_train(False)(ms.Tensor(y)).asnumpy()
    assert np.isfinite(x_hat).all(), model
print(len(models), "networks")
"""


@pytest.mark.slow
def test_every_network_computes_operation_by_operation():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-2]) >= 13

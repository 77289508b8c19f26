"""Shared by all tests: a tiny model trained once, a folder of pictures, the command line."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import PIL.Image
import pytest
import yaml

from ms_restore import api, cli, recipe, runtime
from ms_restore.data import photos

TOP = Path(__file__).parents[1]
os.environ["MS_RESTORE_NCNN"] = "0"  # tests of ncnn allow it; for the others auto is ONNX Runtime
runtime.start("CPU")  # graph mode, whichever test comes first

TINY = {
    "description": "the smallest EDSR, for tests",
    "network": {"name": "edsr", "scale": 2, "blocks": 1, "filters": 4, "residual_scale": 1.0},
    "degradation": "bicubic",
    "data": {"patch_size": 16},
    "train": {"steps": 6, "batch_size": 2, "lr": 1e-3, "validate_every": 3},
    "eval": {"protocol": "sr-y"},
}


# a recipe of each network, and its settings as small as they go, beside the recipes
SMALL_MODELS: dict[str, dict[str, object]] = {
    model: settings
    for path in sorted((TOP / "models").glob("*/reduced.yml"))
    for model, settings in yaml.safe_load(path.read_text()).items()
}
REDUCED = {recipe.load(m).network["name"]: settings for m, settings in SMALL_MODELS.items()}


def reduced(model: str) -> dict[str, object]:
    """Settings that make a shipped model's network as small as it goes."""
    sizes = REDUCED[recipe.load(model).network["name"]]
    settings = {f"network.{key}": value for key, value in sizes.items()}
    return settings | ({"data.patch_size": sizes["side"]} if "side" in sizes else {})


def covering(traits: dict[str, set]) -> list[str]:
    """Names, sorted, that together have every trait of all; each adds one to those before it."""
    seen, chosen = set(), []
    for name, own in sorted(traits.items()):
        if own - seen:
            chosen.append(name)
            seen |= own
    return chosen


def network_traits(model: str) -> set:
    """Each setting of a shipped model's network at reduced size, for ``covering``."""
    network = recipe.load(model, reduced(model)).network
    return {(network["name"], key, str(value)) for key, value in network.items()}


# Modules that take a minute or more, so that no process is left with one of them at the end
_LONGEST = ["test_compile", "test_recipe", "test_resume", "test_parallel", "test_own_parts"]
_LONGEST += ["test_soak", "test_tiling", "test_trainer", "test_every_network", "test_mindir"]


@pytest.fixture(scope="module", autouse=True)
def _little_garbage_to_look_for():
    """MindSpore collects garbage at every compilation, in a time that grows with all objects.

    So those that a module's imports and those before it left are taken out of the search.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """A recipe file."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return str(path)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of odd-sized pictures: RGB, gray, RGBA, 16 bit gray."""
    folder = tmp_path_factory.mktemp("pictures")
    photo = photos.load("chelsea")
    gray = photos.load("camera")[:, :, 0]
    alpha = np.linspace(0, 255, 61 * 75).reshape(61, 75).astype(np.uint8)
    PIL.Image.fromarray(photo[:61, :75]).save(folder / "a_rgb.png")
    PIL.Image.fromarray(gray[100:151, 100:173]).save(folder / "b_gray.png")
    rgba = np.dstack([photo[100:161, 100:175], alpha])
    PIL.Image.fromarray(rgba).save(folder / "c_rgba.png")
    PIL.Image.fromarray(gray[200:249, 200:263].astype(np.uint16) * 257).save(folder / "d_16.png")
    return folder


@pytest.fixture(scope="session")
def run(tiny, pictures, tmp_path_factory) -> api.Run:
    """The tiny model, trained on the folder of pictures."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return api.train(tiny, data_dir=pictures, output_dir=folder, device_target="CPU")


@pytest.fixture(scope="session")
def command_line():
    """Run a verb in a process of its own, as a user would."""

    def call(*arguments: object, cwd: Path = TOP) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ms_restore", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.fixture
def in_process(capfd, monkeypatch):
    """As ``command_line``, but quicker: without a process's start."""

    def call(*arguments: object, cwd: Path = TOP) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(cwd)
        capfd.readouterr()
        code: object = 0
        try:
            cli.main(list(map(str, arguments)))
        except SystemExit as ended:
            code = ended.code
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def passing(tmp_path_factory):
    """Checkpoints of SID whose weights pass each measured colour on to its block of pixels.

    The greens are averaged, nothing else is interpolated and nothing is learnt.
    """
    from ms_restore import recipe as recipes
    from ms_restore import registry
    from ms_restore.images.mosaic import KINDS
    from ms_restore.weights import checkpoint

    def make(model: str) -> Path:
        recipe = recipes.load(model)
        mosaic = KINDS[recipe.degradation["mosaic"]]
        recipe = recipes.load(model, {"network.width": mosaic.channels})
        network = registry.build("network", recipe.network)
        for parameter in network.get_parameters():
            parameter.set_data(ms.Tensor(np.zeros(parameter.shape), ms.float32))
        one = np.eye(mosaic.channels)
        for layers in (network.encoder[0], network.decoder[3]):
            for conv in (layers.conv1, layers.conv2):
                weight = np.zeros(conv.weight.shape)
                weight[:, -mosaic.channels :, 1, 1] = one
                conv.weight.set_data(ms.Tensor(weight, ms.float32))
        of_colour = np.array([[colour == c for colour, _ in mosaic.order] for c in range(3)], float)
        of_colour /= of_colour.sum(axis=1, keepdims=True)
        weight = np.repeat(of_colour, mosaic.block**2, axis=0)[:, :, None, None]
        network.last.weight.set_data(ms.Tensor(weight, ms.float32))
        path = tmp_path_factory.mktemp("passing") / "best.ckpt"
        checkpoint.save(path, network, recipe, {})
        return path

    made: dict[str, Path] = {}
    return lambda model: made[model] if model in made else made.setdefault(model, make(model))


@pytest.fixture(scope="session")
def smoother(tmp_path_factory) -> Path:
    """A checkpoint of dmsp_dae with two layers, set so that it smooths by a 3x3 kernel.

    It darkens the border, where it takes zeros for neighbours.
    """
    from ms_restore import recipe as recipes
    from ms_restore import registry
    from ms_restore.weights import checkpoint

    recipe = recipes.load("dmsp_dae", {"network.layers": 2, "network.filters": 6})
    network = registry.build("network", recipe.network)
    line = np.array([0.25, 0.5, 0.25])
    sharp, smooth = np.zeros((3, 3)), np.outer(line, line)
    sharp[1, 1] = 1
    both = np.vstack([np.eye(3), -np.eye(3)])  # y = relu(y) - relu(-y)
    network.first.weight.set_data(ms.Tensor(np.einsum("oi,hw->oihw", both, sharp), ms.float32))
    taps = np.einsum("io,hw->oihw", both, sharp - smooth)
    network.last.weight.set_data(ms.Tensor(taps, ms.float32))
    path = tmp_path_factory.mktemp("smoother") / "smoother.ckpt"
    checkpoint.save(path, network, recipe, {})
    return path


@pytest.fixture(scope="session")
def told_smoother(tmp_path_factory) -> Path:
    """A checkpoint of ffdnet_color, told the noise, that goes halfway to the mean of 2x2 pixels."""
    from ms_restore import recipe as recipes
    from ms_restore import registry
    from ms_restore.weights import checkpoint

    recipe = recipes.load("ffdnet_color", {"network.layers": 2, "network.filters": 24})
    network = registry.build("network", recipe.network)
    first, last = np.zeros((24, 13, 3, 3)), np.zeros((12, 24, 3, 3))
    first[:, :12, 1, 1] = np.vstack([np.eye(12), -np.eye(12)])  # y = relu(y) - relu(-y)
    halfway = 0.5 * np.eye(12) + 0.5 * np.kron(np.eye(3), np.full((4, 4), 0.25))
    last[:, :, 1, 1] = np.hstack([halfway, -halfway])
    for convolution, weight in zip(network.convolutions, (first, last)):
        convolution.weight.set_data(ms.Tensor(weight, ms.float32))
    path = tmp_path_factory.mktemp("told") / "told.ckpt"
    checkpoint.save(path, network, recipe, {})
    return path


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, with room for 16 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

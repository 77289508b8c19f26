from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore import api, recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.deploy import mindir, verification
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.inference.mindspore_engine import MindIREngine, MindSporeEngine
from ms_restore.networks.edsr import EDSR
from ms_restore.verbs.export import shape_for
from tests.conftest import reduced

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [(5, 7), (32, 32), (41, 50)])
def test_the_file_equals_the_checkpoint_at_any_size(run, tmp_path, size):
    path = api.export(run.folder, tmp_path / "net", device_target="CPU")
    assert path == tmp_path / "net.mindir"
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.mindir"]
    y = np.random.default_rng(0).random((*size, 3), np.float32)
    graph = nn.GraphCell(ms.load(str(path)))
    x_hat = graph(ms.Tensor(y.transpose(2, 0, 1)[None])).asnumpy()[0].transpose(1, 2, 0)
    expected = api.load_model(run.folder, device_target="CPU")(y)
    np.testing.assert_allclose(np.clip(x_hat, 0, 1), expected, atol=1e-6)


def test_a_file_that_does_not_equal_the_network_is_not_kept(tmp_path):
    """Weights that are not numbers equal nothing, the exported file's neither."""
    network = EDSR(blocks=1, filters=4)
    network.tail.bias.set_data(ms.Tensor(np.full(3, np.nan, np.float32)))
    with pytest.raises(InputError, match="differs from the checkpoint by nan"):
        metadata = Metadata(recipe.load("edsr"), Geometry.of(network), None, None)
        mindir.export(network, tmp_path / "net.mindir", metadata)
    assert list(tmp_path.iterdir()) == []


def test_an_output_of_another_size_is_one_too():
    networks = [EDSR(blocks=1, filters=4, scale=scale).set_train(False) for scale in (2, 3)]
    metadata = Metadata(recipe.load("edsr"), Geometry.of(networks[0]), None, None)
    with pytest.raises(InputError, match=r"gives \(1, 3, 48, 48\) where .* \(1, 3, 32, 32\)"):
        verification.check(MindSporeEngine(networks[1]), networks[0], metadata, Path("net"))


def test_unknown_format(run, tmp_path):
    with pytest.raises(InputError, match="'AIRR' is not known; choose MINDIR, ONNX or NCNN"):
        api.export(run.folder, tmp_path / "net", file_format="AIRR", device_target="CPU")


@pytest.fixture(scope="module")
def fixed(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "fixed"
    return api.export(run.folder, path, height=40, width=48, device_target="CPU")


@pytest.mark.parametrize("size", [(40, 48), (17, 23), (40, 9), (61, 75), (90, 20)])
def test_images_of_any_size_go_through_a_file_of_one_shape(run, fixed, size):
    """Smaller ones are reflected and cut back, larger ones computed in tiles."""
    y = np.random.default_rng(0).random((*size, 3), np.float32)
    x_hat = api.load_model(fixed, device_target="CPU")(y)
    height, width = (max(side, least) for side, least in zip(size, (40, 48)))
    padded = np.pad(y, ((0, height - size[0]), (0, width - size[1]), (0, 0)), mode="reflect")
    expected = api.load_model(run.folder, tile=0, device_target="CPU")(padded)
    assert x_hat.shape == (2 * size[0], 2 * size[1], 3)
    np.testing.assert_allclose(x_hat, expected[: 2 * size[0], : 2 * size[1]], atol=1e-5)


def test_an_exported_file_is_scored_like_its_checkpoint(run, pictures, tmp_path):
    path = api.export(run.folder, tmp_path / "net", device_target="CPU")
    options = {"data_dir": pictures, "device_target": "CPU"}
    exported = api.evaluate(path, output_dir=tmp_path / "exported", **options)
    direct = api.evaluate(run.folder, output_dir=tmp_path / "direct", **options)
    assert exported["mean"]["psnr"] == pytest.approx(direct["mean"]["psnr"], abs=1e-4)
    assert exported["model"] == "tiny"


def test_pictures_through_the_file_of_one_shape(fixed, pictures, tmp_path):
    written = api.infer(fixed, pictures, tmp_path, device_target="CPU")
    assert len(written) == 4


def test_what_a_file_of_one_shape_cannot_do(run, fixed, tmp_path):
    with pytest.raises(InputError, match="exported for 40x48 pixels .*that is its tile"):
        api.load_model(fixed, tile=40, device_target="CPU")
    with pytest.raises(InputError, match="no turned image fits unless it is square"):
        api.load_model(fixed, self_ensemble=True, device_target="CPU")
    small = api.export(run.folder, tmp_path / "small", height=8, width=8, device_target="CPU")
    restorer = api.load_model(small, device_target="CPU")
    restorer(np.zeros((5, 8, 3), np.float32))
    with pytest.raises(InputError, match="8x8 pixels .* too small .* 9x8; .* from 13 up"):
        restorer(np.zeros((9, 8, 3), np.float32))


def test_bad_sizes(run, tmp_path):
    with pytest.raises(InputError, match="--height and --width belong together"):
        api.export(run.folder, tmp_path / "net", height=32, device_target="CPU")
    with pytest.raises(InputError, match="height 0, width 5: expected multiples of 1"):
        api.export(run.folder, tmp_path / "net", height=0, width=5, device_target="CPU")


def test_other_files(run, tmp_path):
    (tmp_path / "net.mindir").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"net\.mindir: not a MINDIR file, or a damaged one"):
        api.load_model(tmp_path / "net.mindir", device_target="CPU")
    foreign = ms.nn.Conv2d(3, 3, 3)
    example = ms.Tensor(np.zeros((1, 3, 8, 8), np.float32))
    ms.export(foreign, example, file_name=str(tmp_path / "other.mindir"), file_format="MINDIR")
    with pytest.raises(InputError, match="not exported by ms-restore"):
        api.load_model(tmp_path / "other.mindir", device_target="CPU")
    path = api.export(run.folder, tmp_path / "mine", device_target="CPU")
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(InputError, match="not a MINDIR file, or a damaged one"):
        api.load_model(path, device_target="CPU")


@pytest.mark.long
@pytest.mark.parametrize("shape", [None, "fixed"])
@pytest.mark.parametrize("model", ["noise2noise_gaussian", "noise2noise_mri"])
def test_noise2noise(model, shape, tmp_path):
    """mindir.export itself compares the file with the network, here at every size it says."""
    settings = reduced(model)
    if "network.side" in settings:
        settings["data.patch_size"] = settings["network.side"]
    loaded = recipe.load(model, settings)
    network = registry.build("network", loaded.network)
    geometry = Geometry.of(network)
    size = geometry.example_sizes()[-1]
    metadata = Metadata(loaded, geometry, size if shape else None, None)
    assert mindir.export(network, tmp_path / "net.mindir", metadata) <= 1e-4
    restorer = api.load_model(tmp_path / "net.mindir", device_target="CPU")
    y = np.random.default_rng(0).random((*size, network.channels), np.float32)
    x_hat = network(ms.Tensor(y.transpose(2, 0, 1)[None])).asnumpy()[0].transpose(1, 2, 0)
    assert x_hat.shape == (*size, 3 if model == "noise2noise_gaussian" else 1)
    np.testing.assert_allclose(restorer(y), np.clip(x_hat, 0, 1), atol=1e-5)
    if model == "noise2noise_mri":
        with pytest.raises(InputError, match="takes only images of 31x31, this one is 30x31"):
            restorer(y[:, :-1])


def test_a_network_of_one_size_is_exported_for_no_other():
    settings = {**reduced("noise2noise_mri"), "data.patch_size": 31}
    network = registry.build("network", recipe.load("noise2noise_mri", settings).network)
    geometry = Geometry.of(network)
    assert shape_for(geometry, 31, 31) == (31, 31)
    assert shape_for(geometry, None, None) is None
    with pytest.raises(InputError, match="height 32, width 31: this network takes 31x31 alone"):
        shape_for(geometry, 32, 31)


@pytest.mark.parametrize("suffix", [".mindir", ".onnx"])
def test_names_with_spaces_and_any_letters(run, tmp_path, suffix):
    folder = tmp_path / "my photos" / "中文"
    path = api.export(run.folder, folder / f"net é{suffix}", device_target="CPU")
    y = np.random.default_rng(0).random((9, 8, 3), np.float32)
    expected = api.load_model(run.folder, engine="mindspore", device_target="CPU")(y)
    np.testing.assert_allclose(api.load_model(path)(y), expected, atol=1e-5)


def test_a_graph_that_cannot_be_computed_is_one_line(tmp_path):
    """Found when it is compiled for a picture, not when it is loaded."""

    class Two(ms.nn.Cell):
        def construct(self, a, b):
            return a @ b

    examples = [ms.Tensor(np.zeros(shape, np.float32)) for shape in ((2, 3), (3, 4))]
    ms.export(Two(), *examples, file_name=str(tmp_path / "two.mindir"), file_format="MINDIR")
    engine = MindIREngine(tmp_path / "two.mindir")
    with pytest.raises(InputError, match=r"two\.mindir: MindSpore cannot compute this") as caught:
        engine(np.zeros((1, 3, 8, 8), np.float32))
    assert "\n" not in str(caught.value)

"""The published weights themselves, where the reference data is there (it may not be shipped)."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api
from ms_restore.images.reading import read_picture
from ms_restore.metrics.quality import psnr
from ms_restore.verbs.network_loading import network_of

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"


def _needed(*names):
    missing = [name for name in names if not (REFERENCE / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"no reference data: {missing}")


@pytest.fixture(scope="module")
def dncnn_s25(tmp_path_factory):
    pytest.importorskip("torch", reason="PyTorch is an optional peer")
    path = tmp_path_factory.mktemp("published") / "dncnn_s25.ckpt"
    source = REFERENCE / "dncnn" / "dncnn_s25.pth"
    return api.convert(source, path, model="dncnn_s25")


@_needed("dncnn/dncnn_s25.pth", "set12")
@pytest.mark.long
def test_dncnn_s25_gives_its_published_figure(dncnn_s25, tmp_path):
    """30.404 dB published for these weights; 30.396 with PyTorch and another draw of the noise."""
    metrics = api.evaluate(dncnn_s25, data_dir=REFERENCE / "set12", output_dir=tmp_path)
    assert metrics["protocol"] == "gray"
    assert len(metrics["images"]) == 12
    assert metrics["mean"]["psnr"] == pytest.approx(30.40, abs=0.02)


@_needed("dncnn/dncnn_s25.pth", "set12")
def test_dncnn_s25_equals_pytorch_on_the_same_noisy_image(dncnn_s25):
    import torch
    from torch import nn

    source = REFERENCE / "dncnn" / "dncnn_s25.pth"
    state = torch.load(source, map_location="cpu", weights_only=True)
    cells = [nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.ReLU()]
    for _ in range(15):
        cells += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    network = nn.Sequential(*cells, nn.Conv2d(64, 1, 3, padding=1, bias=False)).eval()
    stripped = {name.replace("module.dncnn.", ""): value for name, value in state.items()}
    assert not network.load_state_dict(stripped, strict=False).unexpected_keys
    x = read_picture(REFERENCE / "set12" / "01.png").pixels[:, :, 0] / np.float32(255)
    noise = np.random.default_rng(0).standard_normal(x.shape, np.float32)
    y = (x + 25 / 255 * noise).astype(np.float32)[None, None]
    with torch.no_grad():
        expected = (torch.from_numpy(y) - network(torch.from_numpy(y))).numpy()
    ours, _ = network_of(dncnn_s25, None, None)
    assert np.abs(ours(ms.Tensor(y)).asnumpy() - expected).max() < 1e-4


@_needed("dmsp/DAE_sigma11.mat", "dmsp/101085.jpg")
def test_the_dae_of_dmsp_denoises(tmp_path):
    """Colours and range of its layers folded in: with either wrong it makes the image worse."""
    api.convert(REFERENCE / "dmsp" / "DAE_sigma11.mat", tmp_path / "dae.ckpt")
    restorer = api.load_model(tmp_path / "dae.ckpt")
    assert restorer.recipe.model == "dmsp_dae"
    x = read_picture(REFERENCE / "dmsp" / "101085.jpg").pixels[:128, :160] / np.float32(255)
    noise = np.random.default_rng(0).standard_normal(x.shape, np.float32)
    y = (x + 11 / 255 * noise).astype(np.float32)
    assert psnr(restorer(y), x, peak=1.0) > psnr(y, x, peak=1.0) + 5
    swapped = restorer(np.ascontiguousarray(y[:, :, ::-1]))[:, :, ::-1]
    assert psnr(restorer(y), x, peak=1.0) > psnr(swapped, x, peak=1.0)

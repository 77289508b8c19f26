"""Metrics by name: which there are, which the protocol concerns, and what is said of a slip."""

import importlib.util
import sys
import types

import numpy as np
import pytest

from ms_restore.contracts import Figure, Metric
from ms_restore.errors import InputError
from ms_restore.metrics.choice import DEFAULT, metrics_named
from ms_restore.metrics.niqe import niqe
from ms_restore.metrics.protocols import protocol_named
from ms_restore.registry import REGISTRY

DECIBEL, INDEX = Figure("PSNR", "dB", digits=2), Figure("NIQE", digits=2, higher_is_better=False)


def test_the_order_is_kept_and_twice_is_once():
    assert list(metrics_named("ssim, niqe,psnr,ssim")) == ["ssim", "niqe", "psnr"]
    assert metrics_named(["psnr", "ssim"]) == DEFAULT
    assert metrics_named("psnr,ssim") == DEFAULT


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("psnr,nique", "unknown metric 'nique' (did you mean 'niqe'"),
        ("vmaf", "unknown metric 'vmaf'; known: psnr, ssim, niqe, lpips"),
        (" ,", "no metric is named; known: psnr, ssim, niqe, lpips"),
        ([], "no metric is named"),
        ("ms_restore.metrics.quality:psnr", "expected a Metric"),
    ],
)
def test_slips(names, said):
    with pytest.raises(InputError) as caught:
        metrics_named(names)
    assert said in str(caught.value)


def test_every_metric_says_how_it_is_read():
    assert list(REGISTRY["metric"]) == ["psnr", "ssim", "niqe", "lpips"]
    from ms_restore.metrics.perceptual import LPIPS

    chosen = metrics_named("psnr,ssim,niqe") | {"lpips": LPIPS}
    assert [m.figure.higher_is_better for m in chosen.values()] == [True, True, False, False]
    assert [m.needs_reference for m in chosen.values()] == [True, True, False, True]


def test_a_metric_of_ones_own(monkeypatch):
    module = types.ModuleType("of_mine")
    figure = Figure("MAE", digits=3, higher_is_better=False)
    module.MAE = Metric(figure, lambda x_hat, x: float(np.abs(x_hat - x).mean()), smallest=3)
    monkeypatch.setitem(sys.modules, "of_mine", module)
    chosen = metrics_named("of_mine:MAE")
    x = np.zeros((20, 20, 3), np.float32)
    x[:2] = 1  # on the border, which sr-y leaves out for scale 2
    assert protocol_named("sr-y").measure(0 * x, x, 2, chosen) == {"of_mine:MAE": 0.0}
    assert protocol_named("rgb").measure(0 * x, x, 2, chosen) == {"of_mine:MAE": 25.5}
    assert protocol_named("sr-y").smallest(2, chosen) == 8


def test_niqe_takes_the_whole_restored_picture_in_8_bit():
    rng = np.random.default_rng(0)
    x_hat = rng.random((200, 210, 3)).astype(np.float32)
    chosen = metrics_named("niqe,psnr")
    for name in REGISTRY["protocol"]:
        protocol = protocol_named(name)
        found = protocol.measure(x_hat, 0 * x_hat, 3, chosen)
        assert list(found) == ["niqe", "psnr"]
        assert found["niqe"] == niqe(np.round(x_hat.astype(np.float64) * 255))
        assert protocol.smallest(3, chosen) == 192
        assert protocol.smallest(5, chosen) == 195


def test_figures_as_they_are_printed():
    assert (DECIBEL.text(31), INDEX.text(4.126)) == ("31.00 dB", "NIQE 4.13")
    assert (DECIBEL.heading, INDEX.heading) == ("dB", "NIQE")
    assert DECIBEL.plain(float("inf")) == "inf"
    assert DECIBEL.difference(22.716, 14.544) == "+8.18"  # 22.72 and 14.54, though 8.172 apart
    inf = float("inf")
    assert DECIBEL.difference(inf, inf) == "+0.00"
    assert DECIBEL.difference(30.0, inf) == "-inf"
    assert DECIBEL.improvement(3, 1) == INDEX.improvement(1, 3) == 2
    assert INDEX.improvement(inf, inf) == 0


needs_lpips = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("lpips", "torch", "torchvision"))),
    reason="needs the packages lpips, torch and torchvision",
)


@pytest.mark.skipif(importlib.util.find_spec("lpips") is not None, reason="lpips is installed")
def test_lpips_without_its_package():
    with pytest.raises(InputError, match=r"needs the packages lpips.*'ms-restore\[lpips\]'"):
        metrics_named("psnr,lpips")


@pytest.fixture
def alexnet(tmp_path, monkeypatch):
    """Where AlexNet's weights are looked for; nothing there."""
    from torchvision.models import AlexNet_Weights

    from ms_restore.metrics import perceptual

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    perceptual._network.cache_clear()
    yield tmp_path / "hub" / "checkpoints" / AlexNet_Weights.IMAGENET1K_V1.url.split("/")[-1]
    perceptual._network.cache_clear()


@needs_lpips
def test_lpips_downloads_nothing_by_itself(alexnet):
    with pytest.raises(InputError) as caught:
        metrics_named("lpips")
    assert f"AlexNet's weights at {alexnet}" in str(caught.value)
    assert "not downloaded by themselves: fetch https://" in str(caught.value)
    assert not alexnet.parent.exists()
    alexnet.parent.mkdir(parents=True)
    alexnet.write_bytes(b"damaged")
    with pytest.raises(InputError, match="not AlexNet's weights; fetch https://"):
        metrics_named("lpips")


@needs_lpips
def test_lpips_is_what_its_package_computes(alexnet):
    """With random weights of AlexNet, as the trained ones may not be here."""
    import lpips
    import torch
    from torchvision.models import alexnet as build

    torch.manual_seed(0)
    alexnet.parent.mkdir(parents=True)
    torch.save(build(weights=None).state_dict(), alexnet)
    metric = metrics_named("lpips")["lpips"]
    x, x_hat = np.random.default_rng(0).integers(0, 256, (2, 31, 40, 3)).astype(np.float64)
    distance = metric.measure(x_hat, x)
    theirs = lpips.LPIPS(net="alex", verbose=False)
    pair = [lpips.im2tensor(image) for image in (x_hat, x)]
    assert distance == pytest.approx(float(theirs(*pair)), rel=1e-4)
    assert metric.measure(x, x) == 0 < metric.measure(0.9 * x, x) < distance
    gray = x[:, :, :1]
    assert metric.measure(gray, np.repeat(gray, 3, axis=2)) == 0

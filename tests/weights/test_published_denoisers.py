"""The figures of FFDNet, CDnCNN-B and DnCNN-3 with their authors' weights, where they are at hand.

The whole sets take minutes (``--long``); a picture of each stands for them otherwise, with the
figure that the same run gave for it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ms_restore import api
from ms_restore.degradations.bicubic import BicubicUpsampled
from ms_restore.degradations.jpeg import JPEG
from ms_restore.images.reading import read_picture
from ms_restore.metrics.protocols import ScoringProtocol
from ms_restore.metrics.quality import luma
from ms_restore.weights import foreign

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
WEIGHTS = REFERENCE / "matconvnet"
pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no reference data: {WEIGHTS}")

CUT = ScoringProtocol("Y as a gray image, border = scale cut, 8 bit", "all", True, border_scales=1)
WHOLE = ScoringProtocol("gray, whole image, 8 bit", "all", True)
long = pytest.mark.long


def _some(name, pictures, folder):
    """A folder of these pictures of a set; the set itself where none is named."""
    if not pictures:
        return REFERENCE / name
    folder.mkdir()
    for picture in pictures:
        shutil.copy(REFERENCE / name / picture, folder)
    return folder


@pytest.mark.parametrize(
    ("file", "name", "pictures", "sigma", "figure"),
    [
        ("FFDNet_gray", "set12", ("01.png", "02.png"), 25, 31.75),
        ("FFDNet_color", "mcmaster", ("1.tif",), 25, 28.62),
        pytest.param("FFDNet_gray", "set12", (), 25, 30.43, marks=long),
        pytest.param("FFDNet_gray", "set12", (), 50, 27.32, marks=long),
        pytest.param("FFDNet_color", "mcmaster", (), 25, 32.35, marks=long),
    ],
)
def test_ffdnet_gives_its_published_figures(file, name, pictures, sigma, figure, tmp_path):
    metrics = api.evaluate(
        WEIGHTS / f"{file}.mat",
        data_dir=_some(name, pictures, tmp_path / "pictures"),
        protocol="rgb",
        output_dir=tmp_path / "eval",
        settings={"degradation.sigma_255": sigma},
    )
    assert metrics["mean"]["psnr"] == pytest.approx(figure, abs=0.01 if pictures else 0.05)


@pytest.mark.parametrize(
    ("pictures", "side"),
    [(("1.tif",), 160), pytest.param(tuple(f"{n}.tif" for n in range(1, 19)), None, marks=long)],
)
def test_cdncnn_gives_what_the_same_weights_give_in_pytorch(pictures, side):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    arrays = foreign.read(WEIGHTS / "GD_Color_Blind.mat")
    cells = []
    for number in range(20):
        weight = arrays[f"layers.{2 * number}.weight"]
        cells += [torch.nn.Conv2d(*weight.shape[1::-1], 3, padding=1), torch.nn.ReLU()]
    network = torch.nn.Sequential(*cells[:-1])
    network.load_state_dict(
        {name.removeprefix("layers."): torch.from_numpy(a) for name, a in arrays.items()}
    )
    restorer = api.load_model(WEIGHTS / "GD_Color_Blind.mat")
    assert restorer.recipe.model == "cdncnn_b"
    rng = np.random.default_rng(0)
    figures = []
    for picture in pictures:
        pixels = read_picture(REFERENCE / "mcmaster" / picture).pixels[:side, :side]
        x = pixels / np.float32(255)
        y = (x + 25 / 255 * rng.standard_normal(x.shape, np.float32)).astype(np.float32)
        planes = torch.from_numpy(np.ascontiguousarray(y.transpose(2, 0, 1)))[None]
        with torch.no_grad():
            theirs = (planes - network(planes))[0].numpy().transpose(1, 2, 0)
        figures.append([WHOLE.psnr(x_hat, x, 1) for x_hat in (restorer(y), theirs)])
    ours, expected = np.mean(figures, 0)
    print(f"CDnCNN-B, {len(pictures)} of McMaster: {ours:.3f} dB, PyTorch {expected:.3f} dB")
    assert ours == pytest.approx(expected, abs=0.02)


@pytest.fixture(scope="module")
def dncnn3():
    return api.load_model(WEIGHTS / "DnCNN3.mat", model="dncnn3")


def _pixels(name, pictures):
    folder = REFERENCE / name
    return [
        read_picture(folder / p).pixels
        for p in pictures or sorted(p.name for p in folder.iterdir())
    ]


@pytest.mark.parametrize(
    ("name", "pictures", "factor", "figure"),
    [
        ("set5", ("butterfly.bmp",), 3, 30.03),
        *(
            pytest.param(name, (), factor, figure, marks=long)
            for name, figures in (("set5", (37.58, 33.75, 31.40)), ("set14", (33.08, 29.81, 28.04)))
            for factor, figure in zip((2, 3, 4), figures)
        ),
    ],
)
def test_dncnn3_enlarges_as_published(dncnn3, name, pictures, factor, figure):
    """On Y of the 8-bit picture; what is made small and enlarged of it is not rounded.

    Set14 x2 is 33.03 in the paper, and 33.081 in PyTorch with these weights and pictures.
    """
    rng, figures = np.random.default_rng(0), []
    for pixels in _pixels(name, pictures):
        height, width = (side - side % factor for side in pixels.shape[:2])
        pixels = pixels[:height, :width]
        gray = np.round(luma(pixels)) if pixels.shape[2] == 3 else pixels[:, :, 0]
        x = gray[:, :, None].astype(np.float32) / 255
        y = BicubicUpsampled(factor=factor)(x, rng)
        figures.append(CUT.psnr(dncnn3(y), x, factor))
    assert np.mean(figures) == pytest.approx(figure, abs=0.01 if pictures else 0.05)


@pytest.mark.parametrize(
    ("pictures", "quality", "figure"),
    [
        (("lena.bmp",), 10, 32.34),
        *(
            pytest.param((), quality, figure, marks=long)
            for quality, figure in ((10, 29.40), (20, 31.63), (30, 32.91), (40, 33.77))
        ),
    ],
)
def test_dncnn3_deblocks_as_published(dncnn3, pictures, quality, figure):
    """The authors' pictures were compressed by MATLAB, whose encoder differs from libjpeg's."""
    figures = []
    for pixels in _pixels("classic5", pictures):
        x = pixels[:, :, :1]
        x_hat = dncnn3(JPEG(quality=quality).compress(x) / np.float32(255))
        figures.append(WHOLE.psnr(x_hat, x / np.float32(255), 1))
    assert np.mean(figures) == pytest.approx(figure, abs=0.01 if pictures else 0.15)

import dataclasses
import re
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.contracts import EngineMemory, Geometry
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.inference.self_ensemble import SelfEnsemble
from ms_restore.inference.tiling import MemoryBudget, spans
from tests.conftest import covering, reduced


@pytest.mark.parametrize("window", [7, 8, 20, 33])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_spans_cover_a_side_once_with_context(window, radius):
    for length in range(1, 70):
        covered = []
        for start, stop, first, last in spans(length, window, radius):
            assert 0 <= start <= first < last <= stop <= length
            assert stop - start == min(window, length)  # all of one size
            assert first - start >= radius or start == 0
            assert stop - last >= radius or stop == length
            covered += range(first, last)
        assert covered == list(range(length))


@pytest.mark.parametrize("multiple", [4, 32])
def test_aligned_spans(multiple):
    for blocks in range(1, 40):
        length, window, radius, covered = blocks * multiple, 6 * multiple, 2 * multiple + 1, []
        for start, stop, first, last in spans(length, window, radius, multiple):
            assert start % multiple == stop % multiple == 0
            assert first - start >= radius or start == 0
            assert stop - last >= radius or stop == length
            covered += range(first, last)
        assert covered == list(range(length))


def _work(height, width, radius, multiple, rows, columns):
    counts = (
        len(spans(length, side, radius, multiple))
        for length, side in ((height, rows), (width, columns))
    )
    return rows * columns * np.prod(list(counts))


@pytest.fixture
def memory(monkeypatch):
    """Sets the machine's memory in GiB, and how much of it is free."""

    def set_to(total, free=None):
        found = SimpleNamespace(total=total << 30, available=(free or total) << 30)
        monkeypatch.setattr("psutil.virtual_memory", lambda: found)

    set_to(16)
    return set_to


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(("radius", "multiple"), [(36, 1), (158, 32), (107, 16)])
@pytest.mark.parametrize("size", [(5000, 4000), (20000, 512), (1000, 30000), (9984, 9984)])
def test_windows_bound_memory_and_compute_little(radius, multiple, size):
    """Less than square windows of the same area, which leave as much of each side."""
    floats = 400
    height, width = (-(-side // multiple) * multiple for side in size)
    window = MemoryBudget(radius, floats, multiple, 640 << 20).window(height, width)
    assert window[0] * window[1] * floats * 4 <= 640 << 20
    assert window[0] % multiple == window[1] % multiple == 0
    side = int(((640 << 20) / 4 / floats) ** 0.5) // multiple * multiple
    ours, square = (
        _work(height, width, radius, multiple, *sides) for sides in (window, (side, side))
    )
    assert ours <= square


def test_larger_windows_where_that_saves_a_third(memory):
    def window(radius, total, free=None):
        memory(total, free)
        rows, columns = MemoryBudget(radius, 400, 4).window(5000, 5000)
        return rows * columns * 1600, _work(5000, 5000, radius, 4, rows, columns)

    near, far = window(16, 64), window(158, 64)
    assert near[0] <= 640 << 20 < far[0] <= 3 << 30
    small = window(158, 4, 1)  # an eighth of which, or half of what is free, holds no larger one
    assert small[0] <= 640 << 20
    assert small[1] > 1.5 * far[1]
    enough = window(158, 4)  # more than an eighth, where the work would be more than threefold
    assert 640 << 20 < enough[0] <= 2 << 30
    assert enough[1] < 3 * 5000 * 5000 < small[1]


@pytest.mark.usefixtures("memory")
def test_windows_larger_than_the_limit_where_none_fits():
    """Also where one may end the work between windows, which the limit is for."""
    budget = MemoryBudget(94, 5120, whole=640 << 20)
    rows, columns = budget.window(2000, 2000)
    assert 640 << 20 < 4 * 5120 * rows * columns <= 8 << 30
    assert min(rows, columns) > 2 * 94 + 64  # more than the least
    assert _work(2000, 2000, 94, 1, rows, columns) < 16 * 2000 * 2000


@pytest.mark.usefixtures("memory")
def test_windows_of_an_engine_that_computes_in_bands():
    """They need memory for their width, and outside the engine: so they are larger and higher."""
    in_bands = EngineMemory(2.1, 1 << 17, 24_000)
    budget = MemoryBudget(20, 768, host=96, memory=in_bands)
    rows, columns = budget.window(10_000, 10_000)
    assert 4 * (96 * rows * columns + 24_000 * columns) <= 640 << 20
    assert rows > columns
    assert rows * columns > 5 * np.prod(MemoryBudget(20, 864).window(10_000, 10_000))
    strips = MemoryBudget(20, 768, host=96, memory=in_bands._replace(columns=1300), by_parts=True)
    assert strips.window(10_000, 40_000) == (10_000, 40_000)
    far = EngineMemory(2.1, 1 << 17, 250_000)
    budget = MemoryBudget(349, 5504, host=384, memory=far)
    assert _work(2000, 1400, 349, 1, *budget.window(2000, 1400)) < 4 * 2000 * 1400
    whole = MemoryBudget(349, 5504).window(2000, 1400)
    assert _work(2000, 1400, 349, 1, *whole) > 20 * 2000 * 1400


def test_what_fits_is_computed_in_one_piece(memory):
    assert MemoryBudget(36, 768).window(800, 800) == (800, 800)
    memory(4)
    assert MemoryBudget(36, 768).window(800, 800) != (800, 800)


def test_windows_of_a_network_that_sees_far(memory, capsys):
    """As small as its context lets them be; what they take is said, or refused, with a way out."""
    budget = MemoryBudget(300, 5504, model="real_x4")
    assert budget.window(2048, 2048) == (664, 664)
    memory(16, 12)
    for _ in range(2):
        assert len(budget.cut(2048, 2048)) > 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("with 300 of context on each side") == 1
    assert re.search(r"about 9\.7 GB .* \d+\.\d times the picture's pixels; --tile auto:32", said)
    memory(16, 8)
    with pytest.raises(InputError, match=r"9\.7 GB of memory, 8\.6 GB are free; --tile auto:32"):
        budget.cut(2048, 2048)


def _traits(model):
    """Name and scale of a network; with every setting, ONNX Runtime's are in tests/deploy."""
    network = recipe.load(model).network
    return {network["name"], network.get("scale")}


# those of MRI take slices of one size
MODELS = covering({n: _traits(n) for n in recipe.files() if "side" not in recipe.load(n).network})
FIRST = ["edsr_baseline_x2", "noise2noise_gaussian"]  # each network: deploy/test_every_network.py
MODELS = [*FIRST, *(name for name in MODELS if name not in FIRST)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [m if m in FIRST else pytest.param(m, marks=pytest.mark.long) for m in MODELS]
)
def test_tiled_equals_untiled(model):
    """At reduced width and depth, float32, on an odd-sized image."""
    loaded = recipe.load(model, reduced(model))
    network = registry.build("network", loaded.network).set_train(False)
    radius, multiple = network.receptive_radius, network.size_multiple
    if radius is None:  # a network that sees the whole picture has no tiles
        y = np.zeros((6 * multiple, 6 * multiple, network.channels), np.float32)
        with pytest.raises(InputError, match="whole picture"):
            Restorer(LoadedNetwork.of(network, loaded), tile=2 * multiple)(y)
        return
    side = 2 * radius + 3 * multiple + 13
    y = np.random.default_rng(0).random(
        (side, side + 22, Geometry.of(network).input_channels), np.float32
    )
    whole = Restorer(LoadedNetwork.of(network, loaded), tile=0)(y)
    for core in (1, 9):
        tile = -(-(2 * radius + core * multiple) // multiple) * multiple
        tiled = Restorer(LoadedNetwork.of(network, loaded), tile=tile)(y)
        np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_less_context_is_near_to_the_whole_and_says_so(run, capsys):
    y = np.random.default_rng(0).random((90, 70, 3), np.float32)
    whole, tiled, near = (
        api.load_model(run.folder, tile=tile, device_target="CPU")(y)
        for tile in (0, (None, 2), (20, 2))
    )
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("windows with 2 pixels of context") == 1  # of the two, where windows meet
    np.testing.assert_array_equal(tiled, whole)  # it fits in one piece
    difference = np.abs(near - whole)
    assert 1e-5 < difference.max() < 0.5
    assert not difference[:20, :20].any()  # far from where windows meet
    with pytest.raises(
        InputError, match="with 2 pixels of context on each side tiny takes tiles of at least 5"
    ):
        api.load_model(run.folder, tile=(4, 2), device_target="CPU")


@pytest.mark.parametrize(
    "tile", [-5, "auto:8", 64.0, (64, -8), (64, 8.5), ("64", 8), (1, 2, 3), (), [64, 8]]
)
def test_what_is_no_tile(run, tile):
    with pytest.raises(InputError, match="expected a number of pixels .* tuple"):
        api.load_model(run.folder, tile=tile, device_target="CPU")


def test_figures_of_less_context_say_so(run, pictures, tmp_path):
    options = {"data_dir": pictures, "device_target": "CPU", "output_dir": tmp_path}
    assert "context" not in api.evaluate(run.folder, **options)
    assert api.evaluate(run.folder, tile=(16, 1), **options)["context"] == 1


def test_a_folder_is_restored_again_with_other_tiles_of_less_context(run, pictures, tmp_path):
    def restored(tile):
        api.infer(run.folder, pictures, tmp_path / "out", tile=tile, device_target="CPU")
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}

    first = restored((16, 1))
    assert restored((16, 1)) == first
    assert not restored((24, 1)).items() & first.items()


def test_a_network_of_the_whole_picture_takes_tiles_with_a_context():
    loaded = recipe.load("swinir_x2", reduced("swinir_x2"))
    network = registry.build("network", loaded.network).set_train(False)
    y = np.random.default_rng(0).random((24, 20, 3), np.float32)
    whole, tiled = (
        Restorer(LoadedNetwork.of(network, loaded), tile=tile)(y) for tile in (0, (12, 4))
    )
    assert tiled.shape == whole.shape
    assert np.abs(tiled - whole).max() < 0.05


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_receptive_radius_is_true_and_tight(scale):
    """A change of one pixel reaches that far, to a pixel, and not farther."""
    loaded = recipe.load("edsr_quickstart", {"network.blocks": 1, "network.scale": scale})
    network = registry.build("network", {**loaded.network, "filters": 4})
    for parameter in network.get_parameters():  # all paths count, none is cut by a ReLU
        parameter.set_data(ms.ops.ones_like(parameter) * 0.1)
    side = 2 * network.receptive_radius + 5
    y = np.ones((1, 3, side, side), np.float32)
    changed = y.copy()
    changed[0, 0, side // 2, side // 2] += 1
    engine = MindSporeEngine(network)
    rows = np.flatnonzero(np.abs(engine(changed) - engine(y)).max(axis=(0, 1, 3)))
    reach = np.abs(rows // scale - side // 2).max()
    assert network.receptive_radius - 1 <= reach <= network.receptive_radius


def test_a_picture_in_tiles_equals_one_in_a_piece(run, pictures):
    from ms_restore.images.reading import read_picture

    for path in sorted(pictures.iterdir()):
        picture = read_picture(path)
        small, none = (
            api.load_model(run.folder, tile=tile, device_target="CPU").picture(picture)
            for tile in (24, 0)
        )
        difference = small.pixels.astype(int) - none.pixels.astype(int)
        assert np.abs(difference).max() <= (1 if picture.pixels.dtype == np.uint8 else 2)


def test_a_tile_without_room_for_its_context(run):
    with pytest.raises(InputError, match=r"tile 8: with 6 pixels of context .* at least 13"):
        api.load_model(run.folder, tile=8, device_target="CPU")


class Shift:
    """An engine that is not symmetric: the image moved right by one, enlarged twice."""

    name, shape, memory = "shift", None, EngineMemory()

    def __call__(self, y):
        return np.roll(y, 1, axis=3).repeat(2, axis=2).repeat(2, axis=3)


def test_an_engine_that_needs_more_memory():
    """Its windows are no smaller, which would cost time; for a whole picture its need is told."""
    loaded = recipe.load("noise2noise_gaussian")
    geometry = registry.network_geometry(loaded.network)

    class Counting(Shift):
        memory, areas = EngineMemory(2.1), ()

        def __call__(self, y):
            self.areas = (*self.areas, y.shape[2] * y.shape[3])
            return y

    engine = Counting()
    Restorer(LoadedNetwork(engine, geometry, loaded))(np.zeros((900, 1000, 3), np.uint8))
    assert engine.areas == (928 * 1024,)  # 1.9 GB by floats_per_pixel
    whole = dataclasses.replace(
        geometry, receptive_radius=None, floats_per_pixel=1 << 20
    )  # of 10 megapixels: 43 TB
    for factor in (1.0, 2.0):
        engine.memory = EngineMemory(factor)
        restorer = Restorer(LoadedNetwork(engine, whole, loaded))
        with pytest.raises(
            InputError, match=f"need about {4 * factor * 2**20 * 10.24e6 / 1e9:.1f} GB"
        ):
            restorer(np.zeros((320, 32000, 3), np.uint8))


def test_self_ensemble_averages_the_eight_symmetries():
    """The mean of the image moved by one in each of the four directions, twice each."""
    y = np.random.default_rng(0).random((2, 3, 5, 7), np.float32)
    moved = [np.roll(y, shift, axis) for axis in (2, 3) for shift in (1, -1)]
    expected = np.mean(moved, axis=0).repeat(2, axis=2).repeat(2, axis=3)
    np.testing.assert_allclose(SelfEnsemble(Shift())(y), expected, atol=1e-6)


def test_self_ensemble_is_equivariant_and_works_in_tiles(run):
    plain = api.load_model(run.folder, self_ensemble=True, tile=0, device_target="CPU")
    tiled = api.load_model(run.folder, self_ensemble=True, tile=30, device_target="CPU")
    y = np.random.default_rng(0).random((41, 33, 3), np.float32)
    np.testing.assert_allclose(tiled(y), plain(y), atol=1e-5)
    np.testing.assert_allclose(np.rot90(plain(y)), plain(np.rot90(y)), atol=1e-5)
    alone = api.load_model(run.folder, tile=0, device_target="CPU")
    assert np.abs(alone(y) - plain(y)).max() > 1e-4


def test_the_engine_leaves_the_networks_mode_alone():
    network = registry.build("network", {"name": "edsr", "blocks": 1, "filters": 4})
    engine = MindSporeEngine(network)
    y = np.zeros((1, 3, 6, 6), np.float32)
    for training in (True, False):
        network.set_train(training)
        engine(y)
        assert network.training == training

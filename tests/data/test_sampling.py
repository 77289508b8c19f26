import numpy as np
import pytest

from ms_restore.data.image_source import CutSource
from ms_restore.data.sampling import as_dataset
from ms_restore.degradations.bicubic import BicubicDownsample
from tests.fixtures.opening import training_batches

SIZES = [(40, 52), (33, 35), (64, 41), (37, 70), (50, 50)]


class Images(CutSource):
    """Images in memory, each with a level of its own: image i lies in [20 i, 20 i + 19]."""

    description = "images in memory"

    def __init__(self, sizes=SIZES, channels=3, dtype=np.uint8):
        rng = np.random.default_rng(5)
        self.coloured = []
        self.names = [f"image_{index}" for index in range(len(sizes))]
        self._images = [
            (rng.integers(0, 20, (*size, channels)) + 20 * index).astype(dtype)
            for index, size in enumerate(sizes)
        ]
        self.sizes = list(sizes)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self._images[index]


def batches(source=None, scale=2, **options):
    settings = {
        "patch_size": 12,
        "batch_size": 4,
        "augment": "flips_rotations",
        "seed": 7,
        "steps": 10,
    }
    return training_batches(
        source or Images(), BicubicDownsample(scale=scale), **settings | options
    )


def samples(made, count):
    """The first ``count`` samples (y, x) of a run, whatever its batches."""
    pairs = []
    for batch in range(len(made)):
        pairs.extend(zip(*made[batch]))
    assert len(pairs) >= count
    return pairs[:count]


def levels(x):
    return np.round(np.asarray(x) * 255).astype(int)


def image_of(x):
    return int(levels(x).min()) // 20


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs):
        for mine, its in zip(one, other):
            np.testing.assert_array_equal(mine, its)


# A function of (seed, sample)


@pytest.mark.parametrize("augment", ["none", "flips", "flips_rotations"])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_batch_size_changes_no_sample(batch_size, augment):
    by_fours = batches(batch_size=4, steps=6, augment=augment)
    other = batches(batch_size=batch_size, steps=24 // batch_size, augment=augment)
    assert_same(samples(by_fours, 24), samples(other, 24))


def test_order_of_reading_changes_no_batch():
    straight, shuffled = batches(), batches()
    expected = [straight[batch] for batch in range(10)]
    for batch in (9, 3, 0, 3, 7, 1):
        assert_same([shuffled[batch]], [expected[batch]])


def test_memory_is_not_shared_between_reads():
    made = batches()
    y, x = made[0]
    expected = y.copy(), x.copy()
    y[:] = 0
    x[:] = 0
    assert_same([made[0]], [expected])


def test_images_are_not_altered():
    source = Images()
    before = [source[index].copy() for index in range(len(source))]
    samples(batches(source), 40)
    for index, image in enumerate(before):
        np.testing.assert_array_equal(source[index], image)


def test_seed_changes_the_order_and_the_patches():
    one, other = (samples(batches(seed=seed), 40) for seed in (7, 8))
    assert [image_of(x) for _, x in one] != [image_of(x) for _, x in other]
    single = Images(sizes=[(40, 52)])  # nothing but places and orientations
    one, other = (samples(batches(single, seed=seed), 20) for seed in (7, 8))
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in zip(one, other))


def test_each_epoch_visits_each_image_once_in_an_order_of_its_own():
    made = batches(batch_size=3, steps=20)  # no epoch of 5 ends where a batch does
    visited = [image_of(x) for _, x in samples(made, 60)]
    epochs = [tuple(visited[first : first + 5]) for first in range(0, 60, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 6


def test_samples_of_one_image_differ_between_epochs():
    made = samples(batches(Images(sizes=[(60, 60)]), augment="none"), 40)
    assert len({x.tobytes() for _, x in made}) > 35


# Places


def test_without_augmentation_a_patch_is_a_crop():
    source = Images()
    for _, x in samples(batches(source, augment="none"), 20):
        crop = levels(x).transpose(1, 2, 0)
        image = source[image_of(x)]
        windows = np.lib.stride_tricks.sliding_window_view(image, (12, 12, 3))[:, :, 0]
        places = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
        assert len(places) == 1
        assert (places % 2 == 0).all()  # on the grid of y


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_all_places_occur_and_none_else(scale):
    """Places are multiples of the scale, as far as the image cut to a multiple of it goes."""
    image = np.arange(17 * 20, dtype=np.uint16).reshape(17, 20, 1)  # the level is the place
    source = Images(sizes=[(17, 20)])
    source._images = [image]
    made = batches(source, scale=scale, augment="none", steps=400)
    first = np.array([np.round(x[0, 0, 0] * 65535).astype(int) for _, x in samples(made, 1600)])
    rows, columns = np.divmod(first, 20)
    assert set(rows) == set(range(0, 17 - 17 % scale - 12 + 1, scale))
    assert set(columns) == set(range(0, 20 - 20 % scale - 12 + 1, scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(12, 12), (12, 30), (14, 12)])
def test_image_of_the_size_of_a_patch(size, scale):
    source = Images(sizes=[size])
    for y, x in samples(batches(source, scale=scale, augment="none"), 8):
        assert x.shape == (3, 12, 12)
        assert y.shape == (3, 12 // scale, 12 // scale)
        if size == (12, 12):
            np.testing.assert_array_equal(levels(x), source[0].transpose(2, 0, 1))
            np.testing.assert_array_equal(
                levels(y), BicubicDownsample(scale=scale)(source[0], None).transpose(2, 0, 1)
            )


# Orientation


def symmetry_of(x, originals):
    """(transposed, top and bottom exchanged, left and right exchanged) that make x of one."""
    found = []
    for original in originals:
        for transposed in (False, True):
            turned = original.transpose(0, 2, 1) if transposed else original
            for vertical in (1, -1):
                for horizontal in (1, -1):
                    if np.array_equal(turned[:, ::vertical, ::horizontal], x):
                        found.append((transposed, vertical == -1, horizontal == -1))
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("augment", "count"), [("none", 1), ("flips", 4), ("flips_rotations", 8)])
def test_each_symmetry_occurs_about_equally_often(augment, count):
    source = Images(sizes=[(12, 12)])
    original = source[0].transpose(2, 0, 1)
    made = batches(source, augment=augment, batch_size=8, steps=50)
    seen = [symmetry_of(levels(x), [original]) for _, x in samples(made, 400)]
    shares = {symmetry: seen.count(symmetry) / 400 for symmetry in set(seen)}
    assert len(shares) == count
    assert min(shares.values()) > 0.5 / count
    if augment != "flips_rotations":
        assert not any(transposed for transposed, _, _ in shares)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_y_is_the_degraded_x_in_every_orientation(channels, dtype):
    """In the interior of the patch; its borders have seen what lies beyond."""
    source = Images(sizes=[(64, 64)], channels=channels, dtype=dtype)
    top = np.iinfo(dtype).max
    degradation = BicubicDownsample(scale=2)
    windows = np.lib.stride_tricks.sliding_window_view(source[0], (24, 24, channels))
    crops = windows[::2, ::2, 0].transpose(0, 1, 4, 2, 3).astype(int).reshape(-1, channels, 24, 24)
    symmetries = set()
    for y, x in samples(batches(source, patch_size=24, steps=30), 120):
        pixels = np.round(x * top).astype(int)
        alone = degradation(pixels.transpose(1, 2, 0).astype(dtype), None).transpose(2, 0, 1)
        inside = (slice(None), slice(2, -2), slice(2, -2))
        np.testing.assert_array_equal(np.round(y * top)[inside], alone[inside])
        symmetries.add(symmetry_of(pixels, crops[crops.sum(axis=(1, 2, 3)) == pixels.sum()]))
    assert len(symmetries) == 8


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_unaugmented_y_is_cut_from_the_degraded_whole(scale):
    """At the borders of the patch too, and at those of the image, which are mirrored."""
    source = Images(sizes=[(27, 30)])  # scale 4 cuts three rows and two columns off
    height, width = 27 - 27 % scale, 30 - 30 % scale
    whole = BicubicDownsample(scale=scale)(source[0][:height, :width], None).transpose(2, 0, 1)
    side = 12 // scale
    windows = np.lib.stride_tricks.sliding_window_view(whole, (3, side, side))[0]
    places = set()
    for y, _ in samples(batches(source, scale=scale, augment="none", steps=300), 1200):
        found = np.argwhere((windows == levels(y)).all(axis=(2, 3, 4)))
        assert len(found) == 1
        places.add(tuple(found[0]))
    assert places == {(r, c) for r in range(windows.shape[0]) for c in range(windows.shape[1])}


# Arrays


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_shapes_and_ranges(scale, channels):
    y, x = batches(Images(channels=channels), scale=scale, batch_size=5, patch_size=24)[1]
    assert x.shape == (5, channels, 24, 24)
    assert y.shape == (5, channels, 24 // scale, 24 // scale)
    for array in (y, x):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.min() >= 0
        assert array.max() <= 1
        assert array.std() > 0.01


def test_full_range_is_zero_to_one():
    source = Images(sizes=[(30, 30)], dtype=np.uint16)
    source._images[0] = np.zeros((30, 30, 3), np.uint16)
    source._images[0][15:] = 65535
    y, x = batches(source, patch_size=28)[0]
    for array in (y, x):
        assert array.min() == 0
        assert array.max() == 1


def test_images_of_8_and_16_bit_in_one_batch():
    source = Images(sizes=[(30, 30), (30, 30)])
    source._images[0] = np.full((30, 30, 3), 51, np.uint8)
    source._images[1] = np.full((30, 30, 3), 26214, np.uint16)
    y, x = batches(source, batch_size=2)[0]
    assert sorted(x.max(axis=(1, 2, 3))) == pytest.approx([0.2, 0.4], abs=1e-6)
    assert sorted(y.max(axis=(1, 2, 3))) == pytest.approx([0.2, 0.4], abs=1e-6)


def test_length_is_the_number_of_steps():
    assert len(batches(steps=3)) == 3


@pytest.mark.parametrize("workers", [1, 3, 64])  # more than there are processors, too
def test_dataset_gives_the_batches_in_order(workers):
    made = batches(steps=12)
    dataset = as_dataset(batches(steps=12), workers)
    assert dataset.get_col_names() == ["y", "x"]
    read = list(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert len(read) == 12
    assert_same(read, [made[batch] for batch in range(12)])

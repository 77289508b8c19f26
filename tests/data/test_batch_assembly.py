"""Corrupted targets and translated patches, from images and from prepared ones."""

import numpy as np
import pytest

from ms_restore.data.batch_assembly import apply_symmetries
from ms_restore.data.sampling import as_dataset
from ms_restore.data.sources import PhantomSource
from ms_restore.degradations.bicubic import BicubicDownsample
from ms_restore.degradations.corruptions import Bernoulli
from ms_restore.degradations.noise import Gaussian
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_training, training_batches

SIDE = 20


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 44, 3)).astype(np.uint8)
        write_picture(folder / f"{number}.png", Picture(pixels))
    return folder


@pytest.fixture(scope="module")
def records(images, tmp_path_factory):
    output = tmp_path_factory.mktemp("set") / "set"
    prepare(images, output, model="tiny", scale=1, patch_size=SIDE, margin=0)
    return output


def batches(folder, degradation=None, **options):
    source, _ = open_training(str(folder), None, 3, SIDE, 8)
    made = training_batches(
        source,
        degradation or Gaussian(sigma_255=25),
        patch_size=SIDE,
        batch_size=4,
        augment="flips_rotations",
        seed=1,
        steps=3,
        **options,
    )
    return list(as_dataset(made, 2).create_tuple_iterator(num_epochs=1, output_numpy=True))


@pytest.mark.parametrize("kind", ["images", "records"])
def test_a_degraded_target_has_noise_of_its_own_over_the_same_patch(kind, request):
    folder = request.getfixturevalue(kind)
    noisy, clean = (batches(folder, target=target) for target in ("degraded", "clean"))
    for (y, target), (same_y, x) in zip(noisy, clean):
        np.testing.assert_array_equal(y, same_y)
        errors = (y - x).ravel() * 255, (target - x).ravel() * 255
        for error in errors:
            assert error.std() == pytest.approx(25, rel=0.05)
        assert abs(np.corrcoef(*errors)[0, 1]) < 0.06


def test_records_give_the_batches_of_their_images(images, records):
    for ours, its in zip(batches(images, target="degraded"), batches(records, target="degraded")):
        for one, other in zip(ours, its):
            np.testing.assert_array_equal(one, other)


def test_a_target_can_carry_its_mask(images):
    for y, target in batches(images, Bernoulli(), target="degraded"):
        assert (y.shape, target.shape) == ((4, 3, SIDE, SIDE), (4, 4, SIDE, SIDE))


def test_translation_moves_around_the_border():
    """By up to so many pixels each way; every place occurs, and y moves with x."""
    source = PhantomSource("train", 31)
    made = training_batches(
        source,
        Gaussian(sigma_255=0),
        patch_size=31,
        batch_size=40,
        augment="none",
        translation=2,
        seed=0,
        steps=5,
    )
    moves = []
    originals = {source[k].sum(dtype=int): source[k][:, :, 0] for k in range(len(source))}
    for y, x in (made[step] for step in range(5)):
        np.testing.assert_array_equal(x, y)
        for patch in np.round(x[:, 0] * 255).astype(np.uint8):
            original = originals[patch.sum(dtype=int)]
            for move in np.ndindex(5, 5):
                shift = move[0] - 2, move[1] - 2
                if (np.roll(original, shift, (0, 1)) == patch).all():
                    moves.append(shift)
                    break
    assert len(moves) > 190  # a few of the sums are another phantom's
    assert len(set(moves)) == 25
    before = PhantomSource("train", 31)
    assert all((source[k] == before[k]).all() for k in range(len(source)))


@pytest.mark.parametrize(
    ("options", "asked"),
    [({"target": "degraded"}, "data.target degraded"), ({"translation": 3}, "data.translation 3")],
)
def test_stored_degraded_images_have_no_other_degradation(tmp_path, images, options, asked):
    low = tmp_path / "low"
    low.mkdir()
    for number in range(4):
        write_picture(low / f"{number}.png", Picture(np.zeros((20, 22, 3), np.uint8)))
    prepare(images, tmp_path / "set", model="tiny", scale=2, patch_size=SIDE, margin=4, low=low)
    with pytest.raises(InputError, match=f"has degraded images of its own, but {asked}"):
        batches(tmp_path / "set", BicubicDownsample(scale=2), **options)
    assert len(batches(tmp_path / "set", BicubicDownsample(scale=2))) == 3


def test_patches_are_turned_by_all_symmetries_of_the_square():
    patch = np.arange(9).reshape(1, 3, 3, 1)
    made = apply_symmetries(np.repeat(patch, 8, axis=0), range(8))
    assert len({plane.tobytes() for plane in made}) == 8
    for symmetry in range(8):
        np.testing.assert_array_equal(apply_symmetries(patch, [symmetry])[0], made[symmetry])

import dataclasses
import functools

import numpy as np
import pytest
import yaml

from ms_restore import recipe, registry
from ms_restore.errors import InputError
from ms_restore.training.run_data import open_data
from ms_restore.training.trainer import Trainer
from tests.conftest import covering, network_traits, reduced


@pytest.mark.parametrize("model", sorted(recipe.files()))
def test_every_shipped_recipe_is_whole(model):
    loaded = recipe.load(model)
    assert loaded.model == model
    if loaded.solver is None:
        assert loaded.degradation.get("scale", 1) == loaded.network.get("scale", 1)
    assert recipe.parse(loaded.to_yaml()) == loaded
    assert len(recipe.files()[model].read_text().splitlines()) <= 40


TRAINED = sorted(name for name in recipe.files() if recipe.load(name).solver is None)


@functools.cache
def small_recipe(model):
    """The recipe with a reduced network and the smallest patches that it can have."""
    small = reduced(model)
    geometry = registry.network_geometry(recipe.load(model, small).network)
    mosaic = registry.build("degradation", recipe.load(model).degradation).mosaic
    multiple = np.lcm(geometry.size_multiple * geometry.scale, mosaic.period if mosaic else 1)
    side = geometry.side or (multiple if multiple >= 12 else 4 * multiple)
    small |= {"train.batch_size": 1, "data.patch_size": int(side), "data.valid_images": 1}
    small |= {"train.accumulate": 1}
    return recipe.load(model, small)


def distinct_steps():
    """Recipes with every kind of step, and whether two layers take the place of their network.

    For ``--long`` all with their own, and those with every setting of networks too. That every
    network learns is in test_contracts.py.
    """
    traits, steps = {}, {}
    for model in TRAINED:
        train = small_recipe(model).train
        step = {("averaged", train.ema_decay > 0), ("clipped", train.clip_norm is not None)}
        step |= {("loss", train.loss["name"]), ("amp_level", train.amp_level)}
        steps[model], traits[model] = step, network_traits(model) | step
    first = covering(steps)
    geometries = {m: registry.network_geometry(recipe.load(m).network) for m in first}
    shallow = {m: g.scale == 1 and not (g.side or g.noise_map) for m, g in geometries.items()}
    long = {m for m in (*first, *covering(traits)) if shallow.get(m, True)}
    return [
        *shallow.items(),
        *(pytest.param(model, False, marks=pytest.mark.long) for model in sorted(long)),
    ]


def distinct_batches():
    """Recipes with every degradation, every setting of data and every number of channels."""
    traits = {}
    for model in TRAINED:
        whole, geometry = recipe.load(model), registry.network_geometry(small_recipe(model).network)
        own = {("degradation", whole.degradation["name"]), ("scale", geometry.scale)}
        own |= {("channels", geometry.input_channels), ("multiple", geometry.size_multiple)}
        data = dataclasses.asdict(whole.data)
        data.pop("patch_size")  # reduced for all
        traits[model] = own | {(key, str(value)) for key, value in data.items()}
    chosen = covering(traits)
    return [pytest.param(m, marks=[] if m in chosen else pytest.mark.long) for m in TRAINED]


@pytest.mark.parametrize("model", distinct_batches())
def test_every_shipped_recipe_makes_its_batches(model):
    """Degradation, augmentation and sources, put together: finite, of the network's shapes."""
    small = small_recipe(model)
    geometry = registry.network_geometry(small.network)
    degradation = registry.build("degradation", small.degradation)
    batches, valid = open_data(small, geometry, degradation, steps=2)
    side = small.data.patch_size
    for y, x in (batches[0], batches[1]):
        assert y.shape == (1, geometry.input_channels, *[side // geometry.scale] * 2)
        assert x.shape[0] == 1
        assert x.shape[1] - geometry.output_channels in (0, 1)  # a mask behind it
        assert x.shape[2:] == (side, side)
        assert y.dtype == x.dtype == np.float32
        assert np.isfinite(y).all()
        assert np.isfinite(x).all()
    assert len(valid) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("model", "shallow"), distinct_steps())
def test_every_kind_of_step_trains(model, shallow, tmp_path):
    """At reduced size: the recipe's own parts, put together."""
    small = small_recipe(model)
    if shallow:
        channels = registry.network_geometry(small.network).input_channels
        other = {"name": "dncnn", "channels": channels, "layers": 2, "filters": 2}
        small = recipe.changed(small, {f"network.{key}": value for key, value in other.items()})
    network = registry.build("network", small.network)
    degradation = registry.build("degradation", small.degradation)
    run = Trainer(network, degradation, small, tmp_path / "run", max_steps=1).run()
    assert run.steps == 1
    assert run.checkpoint.is_file()


def test_overrides_of_every_depth():
    loaded = recipe.load(
        "edsr_x4",
        {"train.lr": "5e-4", "network.blocks": 2, "seed": 7, "train.schedule": "constant"},
    )
    assert loaded.train.lr == 5e-4
    assert loaded.network["blocks"] == 2
    assert loaded.network["filters"] == 256
    assert loaded.seed == 7
    assert loaded.train.schedule == {"name": "constant"}


def test_naming_another_part_drops_the_arguments_of_the_old_one():
    settings = {"train.schedule.name": "multi_step", "train.schedule.milestones": [5]}
    schedule = recipe.load("edsr_quickstart", settings).train.schedule
    assert schedule == {"name": "multi_step", "milestones": [5], "gamma": 0.5}


def test_defaults_of_parts_are_resolved():
    loaded = recipe.load("edsr_quickstart")
    assert loaded.train.optimizer == {
        "name": "adam",
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "beta1_end": None,
    }
    assert loaded.network["normalisation"] == "div2k"


def test_all_mistakes_in_one_go():
    with pytest.raises(InputError) as caught:
        recipe.load(
            "edsr_quickstart",
            {
                "train.lrr": 1,
                "train.steps": "many",
                "network.block": 3,
                "network.filters.wide": 3,
                "degradation.scale": 3,
                "train.schedule": "cosin",
                "hue": "red",
                "eval.protocol": "sry",
                "data.patch_size": 49,
            },
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 9
    for expected in (
        "train.lrr: unknown key (did you mean 'lr'",
        "train.steps: got 'many'",
        "network.block: unknown key (did you mean 'blocks'",
        "network.filters.wide: network.filters has no keys of its own",
        "degradation.scale is 3 but network.scale is 2",
        "train.schedule.name: unknown schedule 'cosin' (did you mean 'cosine'",
        "hue: unknown key; known: model, description",
        "eval.protocol: unknown protocol 'sry' (did you mean 'sr-y'",
        "data.patch_size 49 is no multiple of network.scale 2",
    ):
        assert expected in text


def test_milestones_that_never_fire():
    settings = {"train.schedule": {"name": "multi_step", "milestones": [10, 5000]}}
    with pytest.raises(InputError, match=r"milestones \[5000\] never fire: the run has 1800 steps"):
        recipe.load("edsr_quickstart", settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", 0),
        ("train.batch_size", -1),
        ("seed", -1),
        ("seed", 1 << 32),
        ("network.scale", 5),
        ("network.channels", 4),
        ("data.augment", "all"),
        ("train", 3),
        ("network", [1]),
        ("train.loss", None),
    ],
)
def test_values_out_of_range_or_of_another_type(key, value):
    with pytest.raises(InputError, match=key):
        recipe.load("edsr_quickstart", {key: value})


@pytest.mark.parametrize("name", ["7", "true", "{a: 1}"])
def test_a_name_of_a_part_that_is_no_word(tmp_path, name):
    text = f"description: x\nnetwork: {{name: edsr, scale: 2}}\ndegradation: {{name: {name}}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match="degradation"):
        recipe.load(str(tmp_path / "mine.yaml"))


def test_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match="unknown model 'edsr_quikstart' .*'edsr_quickstart'"):
        recipe.load("edsr_quikstart")


def test_a_recipe_file_of_ones_own(tiny, tmp_path):
    assert recipe.load(tiny).model == "tiny"
    with pytest.raises(InputError, match="no such file"):
        recipe.load(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("network: {name: edsr")
    with pytest.raises(InputError, match="not valid YAML"):
        recipe.load(str(broken))
    broken.write_text("- 1")
    with pytest.raises(InputError, match="expected a mapping of settings, got list"):
        recipe.load(str(broken))
    broken.write_text("description: nothing else")
    with pytest.raises(InputError, match="network: missing"):
        recipe.load(str(broken))


def test_the_command_line_turns_yaml_into_values():
    value = yaml.safe_load("5e-4")
    assert recipe.load("edsr", {"train.lr": value}).train.lr == 5e-4


def test_every_registered_part_can_be_found():
    for kind, names in registry.REGISTRY.items():
        for name in names:
            assert kind in ("protocol", "metric") or callable(registry.find(kind, name))


def test_every_setting_is_documented():
    from ms_restore.settings import (
        DataSettings,
        EvalSettings,
        Recipe,
        RuntimeSettings,
        TrainSettings,
        descriptions,
    )

    for section in (DataSettings, TrainSettings, EvalSettings, RuntimeSettings):
        documented = descriptions(section)
        assert all(documented[field.name] for field in dataclasses.fields(section))
    assert descriptions(TrainSettings)["lr"].startswith("Learning rate")
    assert {f.name for f in dataclasses.fields(Recipe)} >= {"network", "degradation", "seed"}


def test_a_recipe_from_before_the_runtime_settings_loads():
    text = yaml.safe_load(recipe.load("edsr").to_yaml())
    del text["runtime"]
    loaded = recipe.parse(yaml.safe_dump(text))
    assert loaded == recipe.load("edsr")
    assert (loaded.runtime.hf32, loaded.runtime.deterministic) == (False, False)
    assert recipe.runtime_of(None) == recipe.runtime_of({"train.lr": 1}) == loaded.runtime


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime.hf23": True}, r"runtime.hf23: unknown key \(did you mean 'hf32'"),
        ({"runtime.jit_level": "O3"}, "runtime.jit_level: got 'O3', expected 'O0', 'O1' or 'O2'"),
        ({"runtime.max_device_memory": "28"}, "runtime.max_device_memory: got '28', .*pattern"),
    ],
)
def test_runtime_settings_that_there_are_not(settings, message):
    with pytest.raises(InputError, match=message):
        recipe.load("edsr", settings)
    with pytest.raises(InputError, match=message):
        recipe.runtime_of(settings)

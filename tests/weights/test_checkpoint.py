import stat

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.errors import InputError
from ms_restore.weights import checkpoint


@pytest.fixture
def network(tiny):
    return registry.build("network", recipe.load(tiny).network)


def test_a_checkpoint_carries_its_recipe(run, tiny):
    loaded = checkpoint.read(run.checkpoint)
    assert loaded.recipe.model == "tiny"
    assert loaded.recipe.network == recipe.load(tiny).network
    assert loaded.facts["step"] in (3, 6)
    assert loaded.facts["protocol"] == "sr-y"


def test_weights_come_back_bit_for_bit(network, tiny, tmp_path):
    checkpoint.save(tmp_path / "a.ckpt", network, recipe.load(tiny), {"step": 1})
    assert stat.S_IMODE((tmp_path / "a.ckpt").stat().st_mode) & 0o600 == 0o600
    saved = {name: p.asnumpy().copy() for name, p in network.parameters_and_names()}
    for parameter in network.get_parameters():
        parameter.set_data(ms.ops.zeros_like(parameter))
    checkpoint.load_strictly(network, checkpoint.read(tmp_path / "a.ckpt"))
    for name, parameter in network.parameters_and_names():
        assert (parameter.asnumpy() == saved[name]).all()


def test_saving_replaces_whole_or_not_at_all(network, tiny, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save(path, network, recipe.load(tiny), {"step": 1})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(path, network, recipe.load(tiny), {"step": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_weights_of_another_model_are_refused_by_name_and_shape(run):
    wider = registry.build("network", recipe.load("edsr_quickstart").network)
    with pytest.raises(InputError, match=r"missing: blocks.1.*head.weight \(4, 3, 3, 3\) instead"):
        checkpoint.load_strictly(wider, checkpoint.read(run.checkpoint))


def test_too_many_weights_are_refused(network, run):
    loaded = checkpoint.read(run.checkpoint)
    loaded.parameters["extra.weight"] = ms.Parameter(np.zeros(3, np.float32))
    with pytest.raises(InputError, match="unknown: extra.weight"):
        checkpoint.load_strictly(network, loaded)


def test_a_foreign_checkpoint_needs_a_model(network, tiny, tmp_path):
    path = str(tmp_path / "foreign.ckpt")
    ms.save_checkpoint(network, path)
    with pytest.raises(InputError, match="carries no recipe; name its model with --model"):
        api.load_model(path, device_target="CPU")
    assert api.load_model(path, model=tiny, device_target="CPU").scale == 2


def test_a_truncated_checkpoint(run, tmp_path):
    path = tmp_path / "cut.ckpt"
    path.write_bytes(run.checkpoint.read_bytes()[:-700])
    with pytest.raises(InputError, match="cut.ckpt: not a MindSpore checkpoint"):
        network = registry.build("network", checkpoint.read(path).recipe.network)
        checkpoint.load_strictly(network, checkpoint.read(path))

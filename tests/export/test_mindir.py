import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.export import mindir
from ms_restore.networks.edsr import EDSR


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
        mindir.export(network, tmp_path / "net.mindir")
    assert list(tmp_path.iterdir()) == []


def test_unknown_format(run, tmp_path):
    with pytest.raises(InputError, match="file_format 'AIRR' is not known; choose MINDIR"):
        api.export(run.folder, tmp_path / "net", file_format="AIRR", device_target="CPU")

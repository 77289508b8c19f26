"""What an exported file says of itself is checked, whatever it says."""

import json

import numpy as np
import PIL.Image
import pytest

from ms_restore import api, recipe
from ms_restore.contracts import Geometry
from ms_restore.deploy import mindir
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError

GEOMETRY = Geometry(2, 3, None, 64, 1, 3, None)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scale", 1_000_000_000, "damaged, it says scale 1000000000, expected 1 to 16"),
        ("scale", "x", "damaged, it says scale 'x', expected 1 to 16"),
        ("scale", None, "scale None"),
        ("channels", True, "channels True"),
        ("size_multiple", 0, "size_multiple 0"),
        ("receptive_radius", -1, "receptive_radius -1"),
        ("side", 1e9, "side 1000000000.0"),
        ("side", [], "side"),
        ("other", 1, "says nothing of its model"),
    ],
)
def test_geometry(tiny, key, value, said):
    fields = json.loads(Metadata(recipe.load(tiny), GEOMETRY, None, None).to_text())
    assert Metadata.from_text(json.dumps(fields), "a.onnx").geometry == GEOMETRY
    fields["geometry"][key] = value
    with pytest.raises(InputError) as caught:
        Metadata.from_text(json.dumps(fields), "a.onnx")
    assert said in str(caught.value)
    assert "export the checkpoint again" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "null", '{"range": 1}', "[" * 99_999])
def test_other_texts(text):
    with pytest.raises(InputError, match=r"a\.onnx: not exported by ms-restore|its range is 1"):
        Metadata.from_text(text, "a.onnx")


@pytest.mark.parametrize("value", [{}, 3, None, ["network: edsr"]])
def test_a_recipe_that_is_no_text(tiny, value):
    fields = json.loads(Metadata(recipe.load(tiny), GEOMETRY, None, None).to_text())
    fields["recipe"] = value
    with pytest.raises(InputError, match="says nothing of its model"):
        Metadata.from_text(json.dumps(fields), "a.onnx")


@pytest.mark.parametrize("shape", [[3], "ab", [0, 5], [1e9, 2], [[], []]])
def test_shape(tiny, shape):
    fields = json.loads(Metadata(recipe.load(tiny), GEOMETRY, (8, 8), None).to_text())
    fields["shape"] = shape
    with pytest.raises(InputError, match="export the checkpoint again"):
        Metadata.from_text(json.dumps(fields), "a.onnx")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "net.mindir"
    return api.export(run.folder, path, device_target="CPU")


@pytest.mark.slow
def test_a_graph_with_any_byte_changed_is_refused_before_mindspore_loads_it(exported, tmp_path):
    whole = exported.read_bytes()
    mindir.read(exported)
    path = tmp_path / "net.mindir"
    for at in range(5, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError, match="not a MINDIR file, or a damaged one"):
            mindir._described(path)


@pytest.mark.slow
def test_a_graph_of_an_older_version_needs_whole_parameters(exported, tmp_path):
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    model.ParseFromString(exported.read_bytes())
    del model.user_info[mindir._SHA256]
    path = tmp_path / "net.mindir"
    path.write_bytes(model.SerializeToString())
    mindir.read(path)
    model.graph.parameter[0].dims[0] *= 100
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="not a MINDIR file, or a damaged one"):
        mindir.read(path)


@pytest.mark.slow
def test_the_format_follows_from_the_suffix(run, tmp_path, in_process):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    assert api.export(run.folder, tmp_path / "m.onnx") == tmp_path / "m.onnx"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    PIL.Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(tmp_path / "a.png")
    api.infer(tmp_path / "m.onnx", tmp_path / "a.png", tmp_path / "b.png")
    refused = in_process(
        *("export", "--checkpoint", run.folder, "--file_name", tmp_path / "n.onnx"),
        *("--file_format", "MINDIR"),
    )
    assert refused.returncode == 2
    assert "its suffix is that of ONNX, but file_format is MINDIR; leave one" in refused.stderr
    assert not list(tmp_path.glob("n*"))


@pytest.mark.slow
def test_the_sizes_that_a_file_takes_are_said(tmp_path, capsys):
    from ms_restore import registry
    from ms_restore.weights import checkpoint
    from tests.conftest import reduced

    loaded = recipe.load("noise2noise_gaussian", reduced("noise2noise_gaussian"))
    network = registry.build("network", loaded.network)
    checkpoint.save(tmp_path / "a.ckpt", network, loaded, {})
    api.export(tmp_path / "a.ckpt", tmp_path / "net.mindir", device_target="CPU")
    assert "(any size whose sides are multiples of 32; differs" in " ".join(
        capsys.readouterr().out.split()
    )

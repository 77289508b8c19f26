"""A damaged checkpoint is refused before MindSpore reads it, which would write past its memory."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore.train import checkpoint_pb2

from ms_restore.errors import InputError
from ms_restore.weights import checkpoint, ckpt_structure


@pytest.fixture
def message():
    made = checkpoint_pb2.Checkpoint()
    for name in ("a.weight", "b.weight"):
        value = made.value.add(tag=name)
        value.tensor.dims.extend([2, 3])
        value.tensor.tensor_type = "Float32"
        value.tensor.tensor_content = np.arange(6, dtype="f4").tobytes()
    return made


def _read(message, path):
    path.write_bytes(message.SerializeToString())
    return checkpoint.read(path)


def _refused(message, path, match):
    with pytest.raises(InputError, match=match) as caught:
        _read(message, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_mindspore_writes_is_whole(tmp_path):
    """Every type, scalars, texts, and a checksum behind it."""
    kinds = (ms.float16, ms.float32, ms.float64, ms.int8, ms.int64, ms.bool_, ms.bfloat16)
    content = [{"name": f"w{kind}", "data": ms.Tensor(np.ones((2, 3)), kind)} for kind in kinds] + [
        {"name": "scalar", "data": ms.Tensor(1.5, ms.float32)}
    ]
    ms.save_checkpoint(content, str(tmp_path / "a.ckpt"), append_dict={"note": "text", "n": 3})
    ms.save_checkpoint(content, str(tmp_path / "b.ckpt"), crc_check=True)
    for name in ("a.ckpt", "b.ckpt"):
        ckpt_structure.check(tmp_path / name)


def test_a_large_tensor_may_be_in_parts(message, tmp_path):
    message.value[1].tag = "a.weight"
    for value in message.value:
        value.tensor.tensor_content = value.tensor.tensor_content[:12]
    assert _read(message, tmp_path / "a.ckpt").parameters["a.weight"].shape == (2, 3)
    message.value[1].tensor.dims[0] = 1
    _refused(message, tmp_path / "a.ckpt", "the parts of 'a.weight' differ")


@pytest.mark.parametrize(
    "dimensions", [[200, 3], [1, 3], [2, 3, 1 << 62], [2, -3], [1] * 20, [0, 3]]
)
def test_shapes_that_are_not_those_of_the_bytes(message, dimensions, tmp_path):
    del message.value[0].tensor.dims[:]
    message.value[0].tensor.dims.extend(dimensions)
    _refused(message, tmp_path / "a.ckpt", r"a\.weight'.* (needs \d+ bytes|dimensions)")


def test_types_and_names(message, tmp_path):
    message.value[0].tensor.tensor_type = "Float64"
    _refused(message, tmp_path / "a.ckpt", "needs 48 bytes, but 24 are there")
    message.value[0].tensor.tensor_type = "Float99"
    _refused(message, tmp_path / "a.ckpt", "unknown type 'Float99'")
    message.value[0].tensor.tensor_type = "Float32"
    message.value.add().CopyFrom(message.value[0])
    _refused(message, tmp_path / "a.ckpt", "'a.weight' is in it twice")
    _refused(checkpoint_pb2.Checkpoint(), tmp_path / "a.ckpt", "it is empty")


def test_cut_at_any_byte(message, tmp_path):
    whole = message.SerializeToString()
    boundary = len(whole) // 2  # of the two values
    for length in set(range(len(whole))) - {boundary}:
        (tmp_path / "a.ckpt").write_bytes(whole[:length])
        with pytest.raises(ValueError):
            ckpt_structure.check(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "meta",
    ["{", "[]", '{"recipe": 3, "facts": {}}', '{"recipe": "model: x", "facts": 1}', "[" * 9999],
)
def test_what_it_says_of_its_model(message, meta, tmp_path):
    value = message.value.add(tag="ms_restore")
    value.tensor.tensor_type = "str"
    value.tensor.tensor_content = np.array(meta).tobytes()
    _refused(message, tmp_path / "a.ckpt", "what it says of its model cannot be read")


def test_text_in_place_of_a_weight(message, tmp_path):
    message.value[0].tensor.tensor_type = "str"
    _refused(message, tmp_path / "a.ckpt", "holds text beside its weights|not a MindSpore check")


def test_a_recipe_that_is_none(message, tmp_path):
    value = message.value.add(tag="ms_restore")
    value.tensor.tensor_type = "str"
    meta = json.dumps({"recipe": "network: nothing", "facts": {}})
    value.tensor.tensor_content = np.array(meta).tobytes()
    with pytest.raises(InputError):
        _read(message, tmp_path / "a.ckpt")

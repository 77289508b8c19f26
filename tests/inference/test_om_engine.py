"""The engine om with a stand-in for pyACL, which has no function that its documentation lacks.

The stand-in's memory is real, so what is copied where is tried too. Functions and their answers:
https://www.hiascend.com/document/detail/en/canncommercial/850/API/appdevgapi, chapter pyACL.
"""

import ctypes
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from ms_restore import api
from ms_restore.cli import main
from ms_restore.errors import InputError
from ms_restore.inference.mindspore_engine import MindIREngine

Y = np.random.default_rng(0).random((30, 40, 3), np.float32)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """An exported ONNX file, and the same network of one size, as what ATC would have made."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("om")
    for kind in ("ONNX", "MINDIR"):
        api.export(run.folder, folder / "any", file_format=kind, device_target="CPU")
    api.export(run.folder, folder / "fixed", height=24, width=32, device_target="CPU")
    return folder


class _Device:
    """What pyACL's stand-in keeps: memory, models, and what was asked for."""

    def __init__(self, network):
        self.network = network
        self.memory, self.datasets, self.loaded = {}, [], []
        self.input, self.output, self.kinds = [1, 3, 24, 32], [1, 3, 48, 64], [0, 0]
        self.device = self.context = None

    def malloc(self, size):
        block = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block), 0

    def execute(self, inputs, outputs):
        if self.context is None:
            return 107002
        (source, size), (target, length) = self.datasets[inputs], self.datasets[outputs]
        y = np.frombuffer(ctypes.string_at(source, size), np.float32).reshape(self.input)
        x = self.network(y).astype(np.float16 if self.kinds[1] else np.float32).tobytes()
        assert len(x) == length
        ctypes.memmove(target, x, length)
        return 0


def _pyacl(device):
    module = ModuleType("acl")

    def set_device(number):
        device.device = number
        return 0

    def set_context(context):
        device.context = context
        return 0

    def memcpy(target, most, source, count, kind):
        assert count <= most and kind in (1, 2)
        ctypes.memmove(target, source, count)
        return 0

    def create_dataset():
        device.datasets.append(None)
        return len(device.datasets) - 1

    def add_dataset_buffer(dataset, buffer):
        device.datasets[dataset] = buffer
        return dataset, 0

    def load_from_file(path):
        device.loaded.append(path)
        return (7, 0) if path.endswith(".om") else (0, 145000)

    def size_of(shape, kind):
        return int(np.prod(shape)) * (2 if kind else 4)

    module.init = lambda: 0
    module.finalize = lambda: 0
    module.create_data_buffer = lambda pointer, size: (pointer, size)
    module.util = SimpleNamespace(
        bytes_to_ptr=lambda data: ctypes.cast(data, ctypes.c_void_p).value,
        ptr_to_bytes=ctypes.string_at,
    )
    module.rt = SimpleNamespace(
        set_device=set_device,
        create_context=lambda number: (99 + number, 0),
        set_context=set_context,
        malloc=lambda size, policy: device.malloc(size),
        malloc_host=device.malloc,
        memcpy=memcpy,
    )
    module.mdl = SimpleNamespace(
        load_from_file=load_from_file,
        create_desc=lambda: 5,
        get_desc=lambda description, model: 0 if model == 7 else 145000,
        get_input_dims=lambda d, n: ({"name": "y", "dimCount": 4, "dims": device.input}, 0),
        get_output_dims=lambda d, n: ({"name": "x", "dimCount": 4, "dims": device.output}, 0),
        get_input_data_type=lambda d, n: device.kinds[0],
        get_output_data_type=lambda d, n: device.kinds[1],
        get_input_size_by_index=lambda d, n: size_of(device.input, device.kinds[0]),
        get_output_size_by_index=lambda d, n: size_of(device.output, device.kinds[1]),
        create_dataset=create_dataset,
        add_dataset_buffer=add_dataset_buffer,
        execute=lambda model, inputs, outputs: device.execute(inputs, outputs),
    )
    return module


@pytest.fixture
def device(exported, monkeypatch):
    made = _Device(MindIREngine(exported / "fixed.mindir", (24, 32)))
    monkeypatch.setitem(sys.modules, "acl", _pyacl(made))
    monkeypatch.setattr("atexit.register", lambda function: None)
    return made


@pytest.fixture
def om(exported, tmp_path):
    """A file of ATC's, with the ONNX it was made of beside it."""
    shutil.copy(exported / "any.onnx", tmp_path / "net.onnx")
    (tmp_path / "net.om").write_bytes(b"what ATC writes")
    return tmp_path / "net.om"


@pytest.mark.parametrize("kind", [0, 1], ids=["float32 out", "float16 out"])
def test_a_picture_is_restored_in_tiles_of_the_file(device, exported, om, kind):
    device.kinds[1] = kind
    restorer = api.load_model(om, device_id=1)
    assert restorer.engine == "om"
    assert (device.device, device.loaded) == (1, [str(om)])
    expected = api.load_model(exported / "fixed.mindir", device_target="CPU")(Y)
    np.testing.assert_allclose(restorer(Y), expected, atol=1e-3 if kind else 1e-6)
    assert device.context == 100


def test_a_mindir_beside_it_describes_it_too(device, exported, om):
    om.with_suffix(".onnx").unlink()
    with pytest.raises(InputError, match=r"net\.om was converted .* put net\.onnx,"):
        api.load_model(om)
    shutil.copy(exported / "any.mindir", om.with_suffix(".mindir"))
    assert api.load_model(om)(Y).shape == (60, 80, 3)


def test_what_the_engine_refuses(device, om, run):
    device.input = [1, 3, -1, -1]
    with pytest.raises(
        InputError, match=r"takes images of \[1, 3, -1, -1\]; engine om takes files"
    ):
        api.load_model(om)
    device.input, device.kinds = [1, 3, 24, 32], [1, 0]
    with pytest.raises(InputError, match=r"its types are \(1, 0\), expected float32 in"):
        api.load_model(om)
    with pytest.raises(InputError, match=r"takes \.om files alone; export the checkpoint"):
        api.load_model(run.folder, engine="om")
    with pytest.raises(InputError, match="computes on an Ascend or Atlas, not on CPU"):
        api.load_model(om, device_target="CPU")


def test_an_error_of_the_device_names_the_function(device, om, monkeypatch):
    monkeypatch.setattr(sys.modules["acl"].mdl, "load_from_file", lambda path: (0, 145000))
    with pytest.raises(InputError, match=r"acl\.mdl\.load_from_file answers 145000; npu-smi"):
        api.load_model(om)


def test_without_pyacl_one_line_says_how_to_get_it(om, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "acl", None)
    with pytest.raises(SystemExit) as ended:
        main(["infer", "--checkpoint", str(om), "--input", str(tmp_path), "--output", "out"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "engine om needs pyACL (the Python module acl), which comes with CANN; run: " in line

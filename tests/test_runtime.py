import inspect
import os
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import mindspore as ms
import pytest

import ms_restore
from ms_restore import ascend, parallel, runtime
from ms_restore.errors import InputError
from ms_restore.runtime import DeviceCall
from ms_restore.settings import RuntimeSettings

TOP = Path(__file__).parents[1]
AVX512 = pytest.mark.skipif(
    "avx512f" not in runtime._cpu_flags(), reason="the setting is for processors with AVX-512"
)
SHOW = "import os; print(os.environ.get('ONEDNN_MAX_CPU_ISA'))"


def _without_setting():
    return {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}


@AVX512
def test_importing_the_package_sets_it_before_mindspore_loads():
    code = f"import sys, ms_restore; assert 'mindspore' not in sys.modules; {SHOW}"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env=_without_setting(),
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "AVX2"


@AVX512
@pytest.mark.parametrize("script", ["train.py", "eval.py", "infer.py", "export.py", "-m"])
def test_every_entry_point_sets_it(script, tmp_path):
    """A sitecustomize on the path prints the setting when the process ends."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import atexit\natexit.register(lambda: exec({SHOW!r}))"
    )
    arguments = [script, "ms_restore"] if script == "-m" else [script]
    shown = subprocess.run(
        [sys.executable, *arguments, "--help"],
        env={**_without_setting(), "PYTHONPATH": str(tmp_path)},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.splitlines()[-1] == "AVX2"


def test_the_users_own_setting_is_kept():
    shown = subprocess.run(
        [sys.executable, "-c", f"import ms_restore; {SHOW}"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "SSE41"},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "SSE41"


@AVX512
def test_convolution_takes_the_fast_path():
    """A sanity bound, far from noise: without the setting the ratio is in the hundreds.

    The same 0.68 GFLOP as a 3x3 convolution and as a matrix product, best of several each.
    """
    import time

    import numpy as np

    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    convolve = ms.nn.Conv2d(64, 64, 3, pad_mode="pad", padding=1)
    image = ms.Tensor(np.ones((4, 64, 48, 48), np.float32))
    left = ms.Tensor(np.ones((64, 576), np.float32))
    right = ms.Tensor(np.ones((576, 4 * 48 * 48), np.float32))

    def best(function, *arguments):
        times = []
        for _ in range(6):
            began = time.perf_counter()
            function(*arguments).asnumpy()
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(convolve, image) < 30 * best(ms.ops.matmul, left, right)


def test_seed_makes_the_same_weights():
    from ms_restore.networks.edsr import EDSR

    def weights(seed):
        runtime.start("CPU", seed=seed)
        return EDSR(blocks=1, filters=4).head.weight.asnumpy()

    first, again, other = weights(1), weights(1), weights(2)
    assert (first == again).all()
    assert not (first == other).all()


@pytest.fixture
def device_folder(tmp_path):
    """What the driver makes for two devices."""
    for name in ("davinci0", "davinci1", "davinci_manager", "hisi_hdc"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    return tmp_path / "dev"


@pytest.fixture
def no_plugin():
    """MindSpore's plugin for Ascend must not have loaded, as where set_env.sh was not sourced."""
    if ascend.is_loaded():
        pytest.skip("it loaded here")


@pytest.mark.usefixtures("no_plugin")
def test_an_ascend_without_set_env_is_not_left_for_the_cpu(device_folder):
    """The library that is missing here is CANN's; the words are the loader's."""
    expected = r"has an Ascend .*libge_runner.so: cannot open.*set_env.sh.*--device_target CPU"
    for target in (None, "Ascend"):
        with pytest.raises(InputError, match=expected) as said:
            runtime.start(target, device_folder=device_folder)
        assert len(said.value.problems) == 1 and "\n" not in str(said.value)
    assert runtime.start("CPU", device_folder=device_folder) == "CPU"


def test_the_line_that_makes_cann_known(tmp_path):
    """CANN 8.5 moved its set_env.sh; the line names the one that is there."""
    places = tuple(tmp_path / name for name in ("cann.sh", "toolkit.sh"))
    both = f"source {places[0]} (before CANN 8.5: {places[1]}), wherever CANN is installed"
    assert ascend.source_line(places) == both
    places[1].touch()
    assert ascend.source_line(places) == f"source {places[1]}"
    places[0].touch()
    assert ascend.source_line(places) == f"source {places[0]}"


@pytest.mark.usefixtures("no_plugin")
def test_a_machine_without_an_ascend(tmp_path):
    assert runtime.start(None, device_folder=tmp_path) == "CPU"
    expected = r"Ascend: there is no Ascend device .*did not load.*; compute on the CPU with"
    with pytest.raises(InputError, match=expected) as said:
        runtime.start("Ascend", device_folder=tmp_path)
    assert "\n" not in str(said.value)


@pytest.mark.usefixtures("no_plugin")
@pytest.mark.parametrize("verb", ["train --model edsr_quickstart", "eval --checkpoint {run}"])
def test_no_ascend_at_the_command_line(verb, run, in_process, tmp_path):
    if ascend.devices():
        pytest.skip("there is one")
    words = verb.format(run=run.folder).split()
    done = in_process(*words, "--output_dir", tmp_path / "out", "--device_target", "Ascend")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "there is no Ascend device on this machine" in line
    assert not (tmp_path / "out").exists()


def test_a_mindspore_without_the_plugin(device_folder, monkeypatch):
    monkeypatch.setattr(ms, "__file__", str(device_folder / "__init__.py"))
    with pytest.raises(InputError, match=r"has no plugin for Ascend; install the wheel"):
        runtime.start("Ascend", device_folder=device_folder)


@pytest.fixture
def cann(tmp_path):
    """The environment of a CANN of some version, as set_env.sh leaves it."""

    def make(version):
        (tmp_path / "compiler").mkdir(exist_ok=True)
        (tmp_path / "compiler" / "version.info").write_text(f"Version={version}\ntimestamp=1\n")
        return {"ASCEND_HOME_PATH": str(tmp_path)}

    return make


def test_the_cann_that_fits_is_what_the_wheel_says(cann):
    from mindspore.run_check._check_version import AscendEnvChecker

    assert ascend.fitting() == tuple(AscendEnvChecker(None).version)
    if ms.__version__.startswith("2.10."):
        assert ascend.fitting() == ascend._FITTING
    for version in ascend.fitting():
        ascend.check_cann(cann(f"{version}.0.1.220"))
    ascend.check_cann({})
    ascend.check_cann({"ASCEND_HOME_PATH": "/absent"})


def test_a_cann_that_does_not_fit(cann, device_folder, monkeypatch):
    for name, value in cann("7.0.0.5.242").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"CANN 7.0 \(.*\) does not fit .*takes 8.2, ") as said:
        runtime.start(None, device_folder=device_folder)
    assert "\n" not in str(said.value)


def test_a_gpu_that_is_not_there(capfd):
    with pytest.raises(InputError, match=r"GPU.*found 'CPU'.*--device_target CPU"):
        runtime.start("GPU")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        (None, {}, 0),
        (None, {"DEVICE_ID": "3"}, 3),
        (1, {"DEVICE_ID": "3"}, 1),
        (None, {"DEVICE_ID": "1", "ASCEND_RT_VISIBLE_DEVICES": "4,5"}, 1),
        (None, {"ASCEND_RT_VISIBLE_DEVICES": "7"}, 0),
    ],
)
def test_which_device(given, environment, expected):
    assert ascend.device_id(given, environment) == expected


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        (None, {"DEVICE_ID": "first"}, "DEVICE_ID is 'first', expected the number"),
        (5, {"ASCEND_RT_VISIBLE_DEVICES": "4,5"}, "device 5 is not there: .*leaves 2, which count"),
    ],
)
def test_no_such_device(given, environment, message):
    with pytest.raises(InputError, match=message):
        ascend.device_id(given, environment)


def test_the_variable_chooses_the_device_of_a_single_process(monkeypatch, device_folder):
    """Everything but the device itself: what MindSpore is asked for."""
    asked = []
    monkeypatch.setenv("DEVICE_ID", "1")
    monkeypatch.setattr(ascend, "check", lambda *_: None)
    monkeypatch.setattr(runtime, "_set_device", lambda *device: asked.append(device))
    runtime.start("Ascend", device_folder=device_folder)
    runtime.start("Ascend", 0, device_folder=device_folder)
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setattr(parallel, "start", lambda: None)
    runtime.start("Ascend", 0, device_folder=device_folder)
    assert asked == [("Ascend", 1), ("Ascend", 0), ("Ascend", 1)]


def test_a_rank_of_a_table_that_mindspore_no_longer_reads():
    rank = {"RANK_TABLE_FILE": "table.json", "RANK_SIZE": "8", "RANK_ID": "2"}
    with pytest.raises(InputError, match=r"RANK_SIZE=8 say .*2.10.0 .*ms-restore launch"):
        parallel.check_environment("2.10.0", rank)
    parallel.check_environment("2.7.1", rank)
    parallel.check_environment("2.10.0", {**rank, "MS_ROLE": "MS_WORKER"})
    parallel.check_environment("2.10.0", {**rank, "RANK_SIZE": "1"})


def _function(call):
    return attrgetter(call.function)(ms)


ALL = RuntimeSettings(hf32=True, deterministic=True, max_device_memory="28GB", jit_level="O1")


def test_what_is_set_on_an_ascend():
    calls = {call.function.rpartition(".")[2]: call for call in runtime.device_calls(ALL)}
    values = {name: next(iter(call.arguments.values())) for name, call in calls.items()}
    assert values == {
        "precision_mode": "must_keep_origin_dtype",
        "conv_allow_hf32": True,
        "matmul_allow_hf32": True,
        "set_deterministic": True,
        "set_memory": "28GB",
    }
    plain = {call.function.rpartition(".")[2] for call in runtime.device_calls(RuntimeSettings())}
    assert plain == {"precision_mode", "conv_allow_hf32", "matmul_allow_hf32"}
    hf32 = [c for c in runtime.device_calls(RuntimeSettings()) if "hf32" in c.function]
    assert [call.arguments for call in hf32] == [{"value": False}] * 2


def test_the_installed_mindspore_has_these_functions_and_deprecates_none():
    for call in runtime.device_calls(ALL):
        inspect.signature(_function(call)).bind(**call.arguments)
        assert "eprecated" not in _function(call).__doc__


def test_the_precision_modes_are_those_of_mindspore():
    import typing

    hints = typing.get_type_hints(RuntimeSettings)
    documented = inspect.getdoc(attrgetter("device_context.ascend.op_precision.precision_mode")(ms))
    for mode in typing.get_args(hints["precision_mode"]):
        assert f"- {mode}:" in documented


def test_runtime_settings_leave_a_cpu_as_it_is(monkeypatch):
    monkeypatch.setattr(runtime, "device_calls", lambda _: pytest.fail("on a CPU"))
    assert runtime.start("CPU", settings=ALL) == "CPU"
    cell = ms.nn.ReLU()
    assert not runtime.use_jit_level(cell)._jit_config_dict


def test_the_jit_level_of_a_run_reaches_the_cell(monkeypatch):
    monkeypatch.setattr(runtime, "_jit_level", "O1")
    assert runtime.use_jit_level(ms.nn.ReLU())._jit_config_dict["jit_level"] == "O1"


def test_a_setting_that_mindspore_takes_once(monkeypatch):
    """MindSpore's own function, which the first call of a process binds."""
    ms.set_deterministic(False)
    monkeypatch.setattr(
        runtime,
        "device_calls",
        lambda _: [DeviceCall("set_deterministic", {"deterministic": True})],
    )
    with pytest.raises(InputError, match="set_deterministic cannot become True in this process"):
        runtime._apply(RuntimeSettings(), "Ascend")


def test_compiled_graphs_are_kept_for_the_next_process(tmp_path):
    """In a process of its own, for the variables are read when it first compiles."""
    code = (
        "import numpy as np\n"
        "from ms_restore import runtime\n"
        "from ms_restore.recipe import RuntimeSettings\n"
        f"runtime.start('CPU', settings=RuntimeSettings(compile_cache={str(tmp_path)!r}))\n"
        "import mindspore as ms\n"
        "print(ms.nn.ReLU()(ms.Tensor(np.ones((1, 2), np.float32))))\n"
    )
    script = tmp_path / "compiling.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert "[[1. 1.]]" in done.stdout, done.stderr
    assert list(tmp_path.rglob("graph_cache/*"))


def test_unknown_device():
    with pytest.raises(InputError, match="'TPU' is not known; choose CPU, Ascend, GPU"):
        runtime.start("TPU")


def test_public_functions_are_found_and_others_are_not():
    assert callable(ms_restore.load_model)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ms_restore.nothing  # noqa: B018

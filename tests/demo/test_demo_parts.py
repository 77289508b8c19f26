"""The parts of the demo without a browser: orders, turns, files, and what the verbs give too."""

import threading
import time

import numpy as np
import PIL.Image
import pydantic
import pytest

from ms_restore import api, limits
from ms_restore.demo import samples, serving, turns, visitor_files
from ms_restore.demo.model_choices import ModelChoice, models_here, own_model
from ms_restore.demo.orders import ImproveOrder, RestoreOrder
from ms_restore.demo.turns import Turns
from ms_restore.demo.visitor_files import VisitorFiles, shown_name
from ms_restore.demo.workshop import Limit, Workshop
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.inference import tiling
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.weights import catalogue
from tests.fixtures import dng

CPU = EngineOptions("auto", "CPU")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    return VisitorFiles(folder)


@pytest.fixture
def workshop(files):
    yield Workshop(files, Limit(1), CPU, {})
    limits.set_max_megapixels(512)


def _ignored(done, total):
    pass


def _given(files, source):
    id = files.new_upload(source.name)
    files.path(id).write_bytes(source.read_bytes())
    return id


@pytest.mark.parametrize("task", ["deblur", "super_resolve", "inpaint", "denoise", "demosaic"])
def test_every_task_gives_what_restore_gives(workshop, tmp_path, monkeypatch, task):
    photo = samples.photos.load("chelsea")[100:148, 100:160]
    monkeypatch.setattr(samples.photos, "load", lambda name: photo)
    order = RestoreOrder(task=task, length=5, shape="motion", scale=2)
    sample = workshop.sample_of_task(order)
    mask = sample["mask"]
    order = order.model_copy(update={"picture": sample["id"], "mask": mask or ""})
    pieces = []
    shown = workshop.restore(order, lambda *piece: pieces.append(piece))
    assert pieces[-1][0] == pieces[-1][1] >= 8
    options = {
        "deblur": {"kernel": "motion:5:30", "same_size": True},
        "super_resolve": {"kernel": "motion:5:30", "scale": 2},
        "inpaint": {"mask": mask and workshop.files.path(mask)},
        "denoise": {"noise_blind": True},
        "demosaic": {"pattern": "RGGB"},
    }[task]
    output = tmp_path / "restored.png"
    source = workshop.files.path(sample["id"])
    api.restore(task, None, source, output, device_target="CPU", **options)
    ours = read_picture(workshop.files.path(shown["file"])).pixels
    assert np.array_equal(ours, read_picture(output).pixels)
    before, after = (read_picture(workshop.files.path(shown[side])) for side in ("before", "after"))
    assert before.pixels.shape[:2] == after.pixels.shape[:2]


def test_a_raw_file_is_developed_as_infer_does(workshop, passing, tmp_path):
    mosaic = np.random.default_rng(0).integers(600, 3000, (64, 96))
    path = tmp_path / "night.dng"
    dng.write(path, mosaic, dng.ORDERS["RGGB"], black=((512,),), exposure=0.1)
    checkpoint = str(passing("sid_sony"))
    choice = own_model(checkpoint, workshop.load(catalogue.resolve(checkpoint)), [])
    assert choice.takes_raw and choice.does == "Develop a dark raw file"
    workshop.models = {choice.name: choice}
    id = _given(workshop.files, path)
    assert workshop.look(id)["raw"]
    shown = workshop.improve(ImproveOrder(picture=id, model=choice.name, ratio=20), _ignored)
    expected = tmp_path / "night.png"
    api.infer(checkpoint, path, expected, ratio=20, device_target="CPU")
    ours = read_picture(workshop.files.path(shown["file"])).pixels
    assert np.array_equal(ours, read_picture(expected).pixels)
    photo = tmp_path / "photo.png"
    write_picture(photo, Picture(np.zeros((16, 16, 3), np.uint8)))
    with pytest.raises(InputError):
        workshop.improve(
            ImproveOrder(picture=_given(workshop.files, photo), model=choice.name), _ignored
        )


def test_a_gray_model_and_one_that_is_told_the_noise(workshop, pictures, tmp_path):
    workshop.models = {choice.name: choice for choice in models_here()}
    source = pictures / "a_rgb.png"
    id = _given(workshop.files, source)
    told = {"denoise_small_gray": {"luma": True}, "prior_small": {"sigma_255": 12}}
    for model, options in told.items():
        sigma = options.get("sigma_255")
        shown = workshop.improve(ImproveOrder(picture=id, model=model, sigma_255=sigma), _ignored)
        output = tmp_path / f"{model}.png"
        api.infer(model, source, output, device_target="CPU", **options)
        ours = read_picture(workshop.files.path(shown["file"])).pixels
        assert np.array_equal(ours, read_picture(output).pixels), model


def test_a_cancelled_run_ends_between_tiles(workshop, tmp_path, monkeypatch):
    monkeypatch.setattr(tiling, "_BYTES", 8 << 20)  # a few tiles of this small picture
    workshop.models = {choice.name: choice for choice in models_here()}
    source = tmp_path / "photo.png"
    write_picture(source, Picture(samples.photos.load("chelsea")[:150, :200]))
    id = _given(workshop.files, source)
    order, pieces = ImproveOrder(picture=id, model="edsr_small_x2"), []
    shown = workshop.improve(order, lambda *piece: pieces.append(piece))
    count = pieces[0][1]
    assert count > 1 and pieces == [(done, count) for done in range(count + 1)]
    output = tmp_path / "whole.png"
    api.infer("edsr_small_x2", source, output, device_target="CPU", tile=0)
    ours = read_picture(workshop.files.path(shown["file"])).pixels
    assert np.array_equal(ours, read_picture(output).pixels)

    def cancel(done, total):
        pieces.append((done, total))
        if done == 1:
            raise turns.Cancelled

    pieces.clear()
    with pytest.raises(turns.Cancelled):
        workshop.improve(order, cancel)
    assert pieces == [(0, count), (1, count)]


def test_models_whose_weights_are_here_are_offered():
    models = {choice.name: choice for choice in models_here()}
    assert list(models)[:2] == ["edsr_small_x2", "edsr_small_x4"]
    assert models["edsr_small_x2"].does == "Enlarge x2"
    assert models["prior_small"].told_noise and not models["denoise_small"].told_noise
    assert models["denoise_small_gray"].gray
    assert all("checkpoint" not in choice.shown() for choice in models.values())


def test_what_a_visitor_says_is_a_number_or_a_name():
    assert RestoreOrder(task="deblur", length=5, angle=45).kernel() == "motion:5:45"
    assert RestoreOrder(task="deblur", shape="disk", radius=2.5).kernel() == "disk:2.5"
    assert RestoreOrder(task="denoise").kernel() is None
    for wrong in ({"kernel": "/etc/passwd"}, {"shape": "/etc/x.npy"}, {"length": 1e9}):
        with pytest.raises(pydantic.ValidationError):
            RestoreOrder(task="deblur", **wrong)
    with pytest.raises(pydantic.ValidationError):
        ImproveOrder(model="m", sigma_255=float("nan"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/photo.PNG", "photo.PNG"),
        ("C:\\pictures\\photo.jpg", "photo.jpg"),
        ("a\x1b[31m\u202egnp.png", "a[31mgnp.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
        ("/", "picture"),
    ],
)
def test_names_of_visitors_are_shown_and_no_paths(files, name, shown):
    assert shown_name(name) == shown
    if "." in shown:
        path = files.path(files.new_upload(name))
        assert path.parent == files._folder and len(path.stem) == 22


def test_only_pictures_are_taken(files):
    for name in ("program.sh", "page.html", "none"):
        with pytest.raises(InputError, match="no kind of picture"):
            files.new_upload(name)


def test_old_files_go_and_results_in_a_folder_of_ones_own_stay(files, tmp_path, monkeypatch):
    results = tmp_path / "results"
    results.mkdir()
    files._results = results
    old, kept = files.new("old", ".png"), files.new_result("my model/x", "photo_x2.png")
    for id in (old, kept):
        files.path(id).write_bytes(b"x")
    path, result = files.path(old), files.path(kept)
    assert result.parent == results and "my_model_x" in result.name
    monkeypatch.setattr(visitor_files, "_SECONDS", 0)
    files.new("next", ".png")
    assert not path.exists() and result.exists()
    with pytest.raises(InputError, match="no longer here"):
        files.find(old)


def test_a_message_has_the_visitors_name_of_a_file(workshop):
    id = workshop.files.new_upload("holiday.png")
    workshop.files.path(id).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"^holiday\.png: not an image"):
        workshop.look(id)
    assert not list(workshop.files._folder.iterdir())


def test_the_limit_is_that_of_the_page(workshop, tmp_path):
    large = tmp_path / "large.png"
    PIL.Image.new("L", (1200, 1000)).save(large)
    workshop.load(catalogue.weights_of("edsr_small_x2"))
    with pytest.raises(
        InputError, match=r"^large\.png: .* limit of 1 megapixels.*--max_megapixels 2"
    ):
        workshop.look(_given(workshop.files, large))


@pytest.fixture
def serving_turns():
    made = Turns()
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.end()
    thread.join(10)
    assert not thread.is_alive()


def _until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def _pieces(count, log):
    def work(watch):
        for piece in range(count):
            watch(piece, count)
            log.append(piece)
            time.sleep(0.01)
        return {"made": count}

    return work


def test_runs_take_turns_and_a_cancelled_one_ends_at_once(serving_turns):
    log, after = [], []
    first = serving_turns.add(_pieces(10_000, log))
    second, third = serving_turns.add(_pieces(3, after)), serving_turns.add(_pieces(1, after))
    _until(lambda: first.done > 2)
    assert [serving_turns.before(run) for run in (first, second, third)] == [0, 1, 2]
    serving_turns.cancel(third)
    assert (third.state, after) == ("cancelled", [])
    serving_turns.cancel(first)
    _until(lambda: second.state == "done")
    assert (first.state, second.result, after) == ("cancelled", {"made": 3}, [0, 1, 2])
    assert len(log) < 1000


def test_what_fails_is_said_and_the_next_has_its_turn(serving_turns, caplog):
    def fails(watch):
        raise RuntimeError("engine\nbroke")

    def refuses(watch):
        raise InputError("one", "two")

    runs = [serving_turns.add(work) for work in (fails, refuses, _pieces(1, []))]
    _until(lambda: runs[-1].state == "done")
    problems = [run.problem for run in runs[:2]]
    assert problems == ["this run failed (RuntimeError: engine", "one; two"]


def test_a_visitor_who_left_costs_no_time(serving_turns, monkeypatch):
    log = []
    run = serving_turns.add(_pieces(10_000, log))
    _until(lambda: run.done > 1)
    monkeypatch.setattr(turns, "_AWAY_SECONDS", 0.0)
    _until(lambda: run.state == "cancelled")


def test_too_many_runs_are_refused():
    waiting = Turns()
    for _ in range(turns.MOST_WAITING):
        waiting.add(_pieces(1, []))
    with pytest.raises(InputError, match="20 runs are waiting"):
        waiting.add(_pieces(1, []))


def test_two_checkpoints_of_one_name_are_two_choices(workshop):
    path = str(catalogue.weights_of("edsr_small_x2"))
    loaded = workshop.load(catalogue.resolve(path))
    names: dict[str, ModelChoice] = {}
    for _ in range(3):
        choice = own_model(path, loaded, names)
        names[choice.name] = choice
    assert len(names) == 3


# ---- the command line


def test_without_its_libraries_it_says_what_is_missing(in_process, monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    done = in_process("demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "ms-restore demo: error: the page needs starlette and uvicorn, not installed here: "
        "pip install 'ms-restore[demo]'\n"
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--port", "70000"], "--port 70000: expected 1 to 65535, or 0 for any free one"),
        (["--max_megapixels", "0"], "--max_megapixels 0: expected 1 to 512, such as 16"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: no address of this"),
        (["--checkpoint", "missing.ckpt", "--port", "0"], "checkpoint missing.ckpt: no such file"),
        (["--output_dir", "/proc/x", "--port", "0"], "/proc/x: no folder can be made there"),
        (["--train.lr", "1"], "unknown option --train.lr"),
    ],
)
def test_slips_are_one_line(in_process, options, line):
    pytest.importorskip("uvicorn", reason="needs the extra demo")
    done = in_process("demo", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ms-restore demo: error: {line}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_taken_port_is_one_line(in_process):
    pytest.importorskip("uvicorn", reason="needs the extra demo")
    with serving._listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = in_process("demo", "--port", port)
    assert done.returncode == 2
    assert done.stderr == (
        f"ms-restore demo: error: --port {port}: in use, perhaps by another demo; end that, or "
        f"choose another port, such as --port {port + 1}\n"
    )


def test_an_address_for_all_gives_a_warning(capsys):
    for host, warns in (("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)):
        with serving._listening(host, 0) as listening:
            serving._announce(listening, serving._is_loopback(listening), open=False)
        said = capsys.readouterr().out
        assert ("warning: --host 0.0.0.0: every machine" in said) == warns
        assert "demo at http://" in said

"""What a user of infer, eval and export gets for a slip: one line, exit code 2, nothing written."""

import shutil

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.cli import main

pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for kind in ("MINDIR", "ONNX"):
        api.export(run.folder, folder / "net", file_format=kind, device_target="CPU")
    api.export(run.folder, folder / "fixed", height=24, width=24, device_target="CPU")
    for name in ("net.onnx", "net.mindir"):
        whole = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(whole[: len(whole) // 2])
        (folder / f"range_{name}").write_bytes(whole.replace(b"[0, 1]", b"[0, 9]"))
    (folder / "net.pb").write_bytes(b"something else")
    shutil.copy(run.folder / "best.ckpt", folder / "best.ckpt")
    (folder / "in").mkdir()
    PIL.Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(folder / "in" / "a.png")
    (folder / "twins").mkdir()
    for name in ("a.png", "a.bmp"):
        PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "twins" / name)
    return folder


INFER = "infer --checkpoint {} --device_target CPU --input in --output out"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (INFER.format("cut_net.onnx"), "cut_net.onnx: not an ONNX file, or a damaged one"),
        (INFER.format("cut_net.mindir"), "cut_net.mindir: not a MINDIR file, or a damaged one"),
        (INFER.format("range_net.onnx"), "its range is [0, 9], expected [0, 1]"),
        (INFER.format("range_net.mindir"), "not a MINDIR file, or a damaged one"),
        (INFER.format("net.onnx --model edsr"), "net.onnx is an export of tiny, not of edsr"),
        (INFER.format("net.mindir --model edsr"), "net.mindir is an export of tiny, not of edsr"),
        (INFER.format("best.ckpt --model dncnn_s25"), "is a checkpoint of tiny, not of dncnn_s25"),
        (INFER.format("net.pb"), "net.pb: not a MindSpore checkpoint"),
        (
            INFER.format("fixed.mindir --tile 16"),
            "exported for 24x24 pixels (height x width): that is its tile",
        ),
        (
            INFER.format("best.ckpt --tile 8"),
            "tile 8: with 6 pixels of context on each side tiny takes tiles of at least 13 pixels",
        ),
        (INFER.format("net.mindir --engine onnxruntime"), "takes no .mindir file; use --engine"),
        (INFER.format("net.onnx --engine mindspore"), "takes no .onnx file; use --engine"),
        (INFER.format("best.ckpt --engine lite"), "needs the package mindspore_lite"),
        (INFER.format("best.ckpt --engine onnx"), "invalid choice: 'onnx'"),
        (INFER.format("absent.onnx"), "absent.onnx: no such file"),
        (
            "infer --checkpoint best.ckpt --device_target CPU --input in/a.png --output out.xyz",
            "out.xyz: .xyz is not an output format; use .png",
        ),
        (
            "infer --checkpoint best.ckpt --device_target CPU --input in --output best.ckpt/out",
            "a.png: cannot be written (Not a directory)",
        ),
        (
            "infer --checkpoint best.ckpt --device_target CPU --input twins --output out",
            "several images would be written as a.png",
        ),
        (
            "export --checkpoint best.ckpt --device_target CPU --file_name best.ckpt/net",
            "cannot be written (Not a directory)",
        ),
        (
            "export --checkpoint best.ckpt --device_target CPU --file_name out --file_format PB",
            "file_format 'PB' is not known; choose MINDIR, ONNX or NCNN",
        ),
        (
            "restore --task denoise --prior net.onnx --device_target CPU --input in --output out "
            "--sigma_255 5 --engine mindir",
            "takes no .onnx file; use --engine onnxruntime",
        ),
        (
            "eval --checkpoint net.mindir --device_target CPU --data_dir in --engine onnxruntime",
            "takes no .mindir file; use --engine mindir or lite",
        ),
    ],
)
def test_a_slip_is_answered_in_one_line(files, monkeypatch, capsys, command, expected):
    monkeypatch.chdir(files)
    before = {path for path in files.rglob("*") if ".cached." not in path.name}
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert expected in lines[0]
    assert {path for path in files.rglob("*") if ".cached." not in path.name} == before


def test_the_options_reach_their_verbs(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    for engine in ("mindspore", "mindir", "onnxruntime"):
        main(f"{INFER.format('best.ckpt')} --engine {engine} --overwrite".split())
        assert "in/a.png -> out/a.png (60x80)\n" in capsys.readouterr().out
    main(INFER.format("best.ckpt").split())
    assert "1 of 1 already restored by this checkpoint in out" in capsys.readouterr().out
    shutil.rmtree("out")

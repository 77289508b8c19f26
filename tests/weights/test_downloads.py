"""Weights by name from a server: fetched, gone on with, refused, converted, found again."""

import hashlib
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml

from ms_restore import api, cli, recipe
from ms_restore.errors import InputError
from ms_restore.verbs import weights as verb
from ms_restore.weights import catalogue, fetching, foreign
from tests.conftest import TINY
from tests.fixtures.servers import FileServer
from tests.test_full_disk import fill_up

Y = np.random.default_rng(0).random((12, 14, 3), np.float32)


@pytest.fixture(scope="module")
def content(run, tmp_path_factory):
    """The bytes of the tiny model's weights as PyTorch names them."""
    path = tmp_path_factory.mktemp("published") / "tiny.safetensors"
    api.convert(run.checkpoint, path, to="torch")
    return path.read_bytes()


@pytest.fixture
def server(content):
    made = FileServer(content)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder, and no proxy."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MS_RESTORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def publish(server, home, tmp_path, monkeypatch):
    """Make a folder of models with a model "tiny", whose weights the server has at a path."""
    folder = tmp_path / "models"
    (folder / "edsr").mkdir(parents=True)
    (folder / "edsr" / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    shutil.copy(recipe.files()["noise2noise_text"], folder / "edsr")
    monkeypatch.setattr(recipe, "folder", lambda: folder)

    def listed(path="/plain", **changes):
        fields = {
            "file": "tiny-x.safetensors",
            "address": path if "://" in path else server.address + path,
            "megabytes": len(server.content) / 1e6,
            "sha256": hashlib.sha256(server.content).hexdigest()[:8],
            "licence": "MIT (nobody)",
            "source": "https://example.org/tiny",
            **changes,
        }
        (folder / "weights.yaml").write_text(yaml.safe_dump({"tiny": fields}))

    listed()
    return listed


def _left(home):
    return sorted(path.name for path in (home / "weights").glob("*") if path.name != "lock")


def test_downloaded_weights_are_found_by_the_models_name(publish, run, home, capsys):
    path = api.download_weights("tiny")
    said = capsys.readouterr().out
    assert said.index("licence: MIT (nobody)") < said.index("bytes, ")
    assert "source:  https://example.org/tiny" in said
    assert "next: ms-restore infer --model tiny" in said
    assert _left(home) == [path.name]
    assert path.stem == f"tiny-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    expected = api.load_model(run.checkpoint, device_target="CPU")(Y)
    for _ in range(2):  # the second time by what the first has exported
        found = api.load_model("tiny", device_target="CPU")
        np.testing.assert_allclose(found(Y), expected, atol=1e-5)
    assert _left(home) == [path.name]
    assert [kept.name for kept in (home / "exports").iterdir()] == [f"{path.stem}.cached.onnx"]
    cli.main(["models"])
    assert re.search("^tiny +edsr +bicubic .*here *$", capsys.readouterr().out, re.MULTILINE)


def test_what_is_here_is_not_fetched_again(publish, server, capsys):
    path = api.download_weights("tiny")
    assert api.download_weights("tiny") == path
    assert len(server.asked) == 1
    assert "tiny: its weights are here" in capsys.readouterr().out
    assert api.list_weights() == {"tiny": "in the cache"}


def test_redirects_are_followed(publish, server):
    publish("/moved")
    api.download_weights("tiny")
    assert [path for path, _, _ in server.asked] == ["/moved", "/plain"]


def test_a_cut_download_goes_on(publish, server, home, content):
    publish("/cut")
    half = len(content) // 2
    with pytest.raises(InputError, match=rf"cut after {half:,} of .* the same command goes on"):
        api.download_weights("tiny")
    assert (home / "weights" / "tiny-x.safetensors.part").stat().st_size == half
    path = api.download_weights("tiny")
    _, (_, ranged, condition) = server.asked
    assert ranged == f"bytes={half}-"
    assert condition is not None
    assert _left(home) == [path.name]


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_whole(publish, server, home, content, known):
    publish("/cut", **({} if known else {"sha256": None}))
    with pytest.raises(InputError, match="cut after"):
        api.download_weights("tiny")
    part = home / "weights" / "tiny-x.safetensors.part"
    part.write_bytes(bytes(part.stat().st_size))  # of another version
    mark = part.with_name(f"{part.name}.etag")
    mark.write_text('"older"')
    api.download_weights("tiny")
    assert server.asked[1][2] == '"older"'
    assert api.load_model("tiny", device_target="CPU").recipe.model == "tiny"


@pytest.mark.parametrize("path", ["/rangeless", "/markless"])
def test_a_server_that_cannot_go_on_sends_all(publish, server, path):
    publish(path, sha256=None)
    with pytest.raises(InputError, match="cut after"):
        api.download_weights("tiny")
    api.download_weights("tiny")
    assert (server.asked[1][1] is None) == (path == "/markless")  # it could not be the same file


def test_a_part_that_is_too_long_is_dropped(publish, server, home, content):
    folder = home / "weights"
    folder.mkdir(parents=True)
    (folder / "tiny-x.safetensors.part").write_bytes(content + b"more")
    api.download_weights("tiny")
    assert [ranged for _, ranged, _ in server.asked] == [f"bytes={len(content) + 4}-", None]


def test_a_server_need_not_say_the_length(publish):
    publish("/lengthless")
    api.download_weights("tiny")


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        ("/missing", {}, "HTTP 404 Not Found; fetch tiny-x.safetensors from https://example.org"),
        ("/loop", {}, "redirects in a circle; fetch"),
        ("/ftp", {}, "redirects badly"),
        ("/silent", {}, "no connection .* check the network and https_proxy, or fetch"),
        ("http://127.0.0.1:9/x", {}, r"no connection \(Connection refused\); check the network"),
        ("http://none.invalid/x", {}, "no connection .*; check the network"),
        ("/plain", {"bytes": 77}, "the file has [0-9,]+ bytes, expected 77; it is another one"),
        ("/plain", {"megabytes": 1e-4}, "the file has [0-9,]+ bytes, expected about 100;"),
        ("/lengthless", {"bytes": 9999}, "bytes came, expected 9,999; they were removed"),
        ("/endless", {}, "sends more than [0-9,]+ bytes, expected about"),
        ("/plain", {"sha256": "00ff"}, "has sha256 [0-9a-f]{64}, expected 00ff; it was removed"),
    ],
)
def test_what_goes_wrong_is_one_line(publish, home, in_process, path, changes, message):
    publish(path, **changes)
    done = in_process("weights", "--download", "tiny", "--yes")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(message, line), line
    assert _left(home) == []


def test_a_proxy_that_refuses_is_named_without_its_password(publish, server, home, monkeypatch):
    publish("http://example.invalid/tiny")
    monkeypatch.setenv("http_proxy", server.address.replace("//", "//me:secret@"))
    with pytest.raises(InputError, match=r"refused by the proxy \(http http://\.\.\.@127") as said:
        api.download_weights("tiny")
    assert "secret" not in str(said.value)
    assert _left(home) == []


def test_no_redirect_leaves_https():
    request = urllib.request.Request("https://example.org/a")
    handler = fetching._NoDowngrade()
    with pytest.raises(urllib.error.HTTPError, match="leads away from https"):
        handler.redirect_request(request, None, 302, "", {}, "http://example.org/a")
    assert handler.redirect_request(request, None, 302, "", {}, "https://example.org/b")


def test_without_a_checksum_that_is_said_and_other_weights_are_removed(
    publish, server, home, capsys
):
    publish(sha256=None)
    server.content = b"<html>no such file</html>"
    with pytest.raises(InputError, match="not a safetensors file"):
        api.download_weights("tiny")
    assert "no checksum is known" in capsys.readouterr().out
    assert _left(home) == []


def test_settings_that_a_file_needs_are_those_of_its_conversion(publish, content):
    publish(settings={"network.filters": 5})
    with pytest.raises(InputError, match="not tiny .filters 5."):
        api.download_weights("tiny")


def test_a_file_whose_hash_is_right_stays_where_it_cannot_be_converted(
    publish, server, home, monkeypatch
):
    def unreadable(path):
        raise InputError("needs a package")

    with monkeypatch.context() as patch:
        patch.setattr(foreign, "read", unreadable)
        with pytest.raises(InputError, match="needs a package"):
            api.download_weights("tiny")
    assert _left(home) == ["tiny-x.safetensors"]
    api.download_weights("tiny")
    assert len(server.asked) == 1


def test_a_changed_file_in_the_cache_is_not_loaded_and_is_fetched_again(publish, server):
    path = api.download_weights("tiny")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="damaged, .* ms-restore weights --download tiny"):
        api.load_model("tiny")
    assert api.download_weights("tiny") == path
    assert len(server.asked) == 2
    api.load_model("tiny", device_target="CPU")


@pytest.mark.parametrize("room", [8 << 10, 16 << 10])
def test_a_full_disk_is_one_line_and_the_next_call_goes_on(publish, disk, monkeypatch, room):
    """Full while the file is fetched, and while it is converted."""
    monkeypatch.setenv("MS_RESTORE_HOME", str(disk))
    fill_up(disk)
    os.truncate(disk / "filler", (16 << 10) - room)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        api.download_weights("tiny")
    left = {path.name: path.stat().st_size for path in disk.glob("weights/*")}
    half = left.pop("tiny-x.safetensors.part", None)
    assert (half is not None) == (room == 8 << 10)
    assert set(left) <= {"lock", "tiny-x.safetensors", "tiny-x.safetensors.part.etag"}
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    api.download_weights("tiny")
    api.load_model("tiny", device_target="CPU")


def test_a_cache_folder_that_cannot_be_made_is_one_line(publish, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MS_RESTORE_HOME", str(tmp_path / "file" / "x"))
    with pytest.raises(InputError, match="cannot be made .* set MS_RESTORE_HOME to a folder"):
        api.download_weights("tiny")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tyni", "unknown model 'tyni' (did you mean 'tiny'"),
        ("tiny-x", "unknown model 'tiny-x' (did you mean 'tiny'"),
        ("*", "unknown model '*'"),
        ("../tiny", "unknown model '../tiny'"),
        ("abc", "unknown model 'abc'; listed: tiny"),
        ("noise2noise_text", "no published weights are listed for it; there are some for tiny"),
    ],
)
def test_names_without_weights_are_one_line(publish, server, model, message):
    with pytest.raises(InputError) as said:
        api.download_weights(model)
    assert message in str(said.value)
    assert server.asked == []


def test_it_asks_before_it_downloads(publish, server, in_process, monkeypatch):
    done = in_process("weights", "--download", "tiny")
    assert "licence: MIT (nobody)" in done.stdout
    assert "weights --download tiny --yes downloads" in done.stderr
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answer, line in (("n", "nothing was downloaded"), ("", "nothing was downloaded")):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert line in in_process("weights", "--download", "tiny").stderr
    assert server.asked == []
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert in_process("weights", "--download", "tiny").returncode == 0


def test_two_downloads_at_a_time_do_not_write_one_file(publish, home):
    with (
        verb.exclusive_folder(home / "weights", "busy"),
        pytest.raises(InputError, match="another download is running"),
    ):
        api.download_weights("tiny")


def test_what_is_listed_can_be_found_and_checked(in_process):
    listed = catalogue.published()
    assert len(listed) >= 10
    for model, published in listed.items():
        assert recipe.load(model, published.settings).solver is None
        assert catalogue.shipped(model) is None
        assert published.address.startswith("https://")
        assert published.source.startswith("https://")
        assert published.megabytes > 0
        assert foreign.is_foreign(Path(published.file))
        digits = published.sha256 or "0" * 8
        assert len(digits) >= 8 and set(digits) <= set("0123456789abcdef")
    shown = in_process("weights").stdout
    assert all(f"\n{model} " in "\n" + shown for model in listed)
    assert max(map(len, shown.splitlines()[:-1])) <= 80

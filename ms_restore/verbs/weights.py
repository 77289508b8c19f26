"""weights: what is published for our models, and its download."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ms_restore import recipe as recipes
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.files import exclusive_folder, sha256
from ms_restore.report.progress_bars import DownloadProgress
from ms_restore.report.terminal import say
from ms_restore.weights import catalogue
from ms_restore.weights.catalogue import Published
from ms_restore.weights.fetching import fetch

_BUSY = "another download is running; wait for its end"


def list_weights() -> dict[str, str]:
    """Return where a model's weights are: "comes along", "in the cache" or "by download".

    Models without such weights are left out.
    """
    published = catalogue.published()
    found = {}
    for model in recipes.files():
        if catalogue.shipped(model):
            found[model] = "comes along"
        elif catalogue.downloaded(model):
            found[model] = "in the cache"
        elif model in published:
            found[model] = "by download"
    return found


def download_weights(model: str, *, ask: bool = False) -> Path:
    """Download the published weights of a model, and convert them to a checkpoint.

    Their licence and source are printed first. What is here already is not fetched again, and a
    download that was cut goes on where it ended. The checkpoint is kept in the cache folder
    (``MS_RESTORE_HOME``, else ``~/.cache/ms_restore``), where the model's name finds it.

    Args:
        model: one of ``list_weights``.
        ask: wait for a yes at the terminal before anything is fetched.

    Raises:
        InputError: no such model or no published weights of it; there is no connection, or it was
            cut; the file is not the one that is listed; the folder cannot be written. Returns the
            checkpoint otherwise.
    """
    here = catalogue.shipped(model)
    if here is not None:
        say(f"{model}: its weights come along: {here}")
        return here
    published = _published(model)
    here = catalogue.downloaded(model)
    if here is not None and not catalogue.is_changed(here):
        say(f"{model}: its weights are here: {here}")
        return here
    _describe(published)
    if ask:
        _wait_for_yes(model)
    folder = catalogue.downloads_folder()
    _check_writable(folder)
    with exclusive_folder(folder, _BUSY):
        file = folder / published.file
        if not (published.sha256 and (sha256(file) or "").startswith(published.sha256)):
            with DownloadProgress(published.file) as progress:
                fetch(published, file, progress.update)
        path = _converted(published, file)
    say(f"{model} -> {path}")
    say(f"next: ms-restore infer --model {model} --input photo.png --output restored.png")
    return path


def _published(model: str) -> Published:
    """Return what is listed for a model; raise InputError where nothing is."""
    listed = catalogue.published()
    if model in listed:
        return listed[model]
    if model in recipes.files():
        raise InputError(
            f"{model}: no published weights are listed for it; there are some for "
            f"{comma_list(listed, 20)}"
        )
    of_file = next((ours for ours, other in listed.items() if other.file.startswith(model)), None)
    hint = f" (did you mean {of_file!r}?)" if of_file else did_you_mean(model, listed)
    raise InputError(f"unknown model {model!r}{hint or f'; listed: {comma_list(listed, 20)}'}")


def _describe(published: Published) -> None:
    size = f"{published.bytes:,} bytes" if published.bytes else f"about {published.megabytes:g} MB"
    say(f"{published.model}: {published.file}, {size}")
    say(f"licence: {published.licence}")
    say(f"source:  {published.source}")
    say(f"address: {published.address}")
    if published.figure:
        say(f"states:  {published.figure}")
    if published.sha256 is None:
        say("note: no checksum is known; the file is only checked to be weights of this network")


def _wait_for_yes(model: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(f"nobody to ask; ms-restore weights --download {model} --yes downloads")
    if input("download it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("nothing was downloaded")


def _check_writable(folder: Path) -> None:
    way_out = "set MS_RESTORE_HOME to a folder that can be written"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); {way_out}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written; {way_out}")


def _converted(published: Published, file: Path) -> Path:
    """Convert a downloaded file to the model's checkpoint, and remove what it replaces.

    Where that fails, a file without a checksum is removed, as it may be the cause.
    """
    from ms_restore import runtime  # MindSpore takes seconds to load
    from ms_restore.weights import checkpoint, conversion

    runtime.start("CPU")
    model = published.model
    try:
        network, recipe, layout = conversion.from_file(file, model, published.settings)
    except InputError:
        if published.sha256 is None:
            file.unlink()
        raise
    facts = {
        "source": published.address,
        "licence": published.licence,
        "sha256": sha256(file),
        "layout": layout,
    }
    made = file.parent / f".{model}.ckpt"
    checkpoint.save(made, network, recipe, facts)
    path = catalogue.downloaded_path(model, sha256(made) or "")
    while (old := catalogue.downloaded(model)) is not None:
        old.unlink()
    made.replace(path)
    file.unlink()
    return path

"""Options that several verbs have: recipe keys, tiles, and those that are passed on to train."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from ms_restore.errors import InputError

if TYPE_CHECKING:
    from ms_restore.inference.tiling import TileLike


def recipe_settings(rest: list[str], verb: argparse.ArgumentParser) -> dict[str, Any]:
    """``--section.key value`` and ``--section.key=value`` as recipe settings."""
    from ms_restore import texts

    known = [name for name in verb._option_string_actions if name.startswith("--")]
    settings: dict[str, Any] = {}
    words = iter(rest)
    for word in words:
        key, equals, value = word[2:].partition("=")
        if not word.startswith("--"):
            raise InputError(f"unexpected argument {word!r}")
        if "." not in key:
            raise _unknown(f"--{key}", known)
        if not equals:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise InputError(f"--{key} needs a value")
        is_name = any("\ud800" <= character <= "\udfff" for character in value)  # not UTF-8
        settings[key] = value if is_name else texts.parse_yaml(value, f"--{key} {value[:40]}")
    return settings


def _unknown(word: str, known: Iterable[str]) -> InputError:
    """The error for an option that a verb does not have: which one, or which key, was meant."""
    from ms_restore import recipe

    key = recipe.key_named(word[2:])
    if key is not None:
        return InputError(f"unknown option {word}; the recipe's key is --{key}")
    meant = {f"--{key.rpartition('.')[2]}": f"--{key}" for key in reversed(recipe.all_keys())}
    meant |= {name: name for name in known}
    close = [repr(meant[name]) for name in difflib.get_close_matches(word, meant, 3, 0.5)]
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return InputError(f"unknown option {word}{hint}; see --help")


def for_train(
    rest: list[str], launch: argparse.ArgumentParser, train: argparse.ArgumentParser
) -> list[str]:
    """Of ``launch``, options before the word ``--`` that are train's, which it passes on."""
    _, others = train.parse_known_args(rest)
    known = [*launch._option_string_actions, *train._option_string_actions]
    words = iter(others)
    for word in words:
        key, equals, _ = word.partition("=")
        if not word.startswith("--"):
            raise InputError(
                f"unexpected argument {word!r}; a model and a folder stand before all options in "
                "the script (--workers N MODEL DATA_DIR --device_target CPU), and otherwise are "
                "options: --model M --data_dir D"
            )
        if "." not in key:
            raise _unknown(key, known)
        if not equals:
            next(words, None)  # its value
    return rest


def split_at_dashes(given: list[str]) -> tuple[list[str], Optional[list[str]]]:
    """Of ``launch``, what comes before a word ``--``, and what comes after: train's own options."""
    if given[:1] != ["launch"]:
        return given, None
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


def tile_of(text: str) -> TileLike:
    """Return the tile that an option names: auto or a side in pixels, alone or with a context."""
    side, colon, context = text.partition(":")
    unfit = not (side == "auto" or side.isdecimal()) or bool(colon) != context.isdecimal()
    if unfit or len(text) > 20:
        raise argparse.ArgumentTypeError(
            f"got {text[:40]!r}, expected auto or a number of pixels, as in auto:32 with those of "
            "context"
        )
    number = None if side == "auto" else int(side)
    return (number, int(context)) if colon else number

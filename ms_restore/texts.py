"""Reading of text, YAML and JSON that a user gives: UTF-8, of limited size and nesting."""

from __future__ import annotations

import codecs
import contextlib
import json
from pathlib import Path
from typing import Any

from ms_restore.errors import InputError

_MOST_BYTES = 1 << 20
_DEEPEST = 50  # sections and lists inside of each other
_MOST_ALIASES = 20  # of YAML, each of which may stand for many values


def read_text(path: Path, most_bytes: int = _MOST_BYTES, origin: str = "") -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises InputError, which names ``origin`` or the path, where the file cannot be read, has more
    than ``most_bytes``, or is in another encoding.
    """
    origin = origin or str(path)
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{origin}: cannot be read ({error.strerror})") from None
    if len(content) > most_bytes:
        raise InputError(
            f"{origin}: larger than {most_bytes >> 20} MB, the most for such a file; is it "
            "one of another kind?"
        )
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:100]:
        raise InputError(f"{origin}: not UTF-8 (UTF-16, or no text); save it as UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{origin}: not UTF-8 (byte {error.start}: {content[error.start]:#04x}); save it as "
            "UTF-8 text, or convert it: iconv -f GBK -t UTF-8"
        ) from None


def parse_yaml(text: str, origin: str) -> Any:
    """Return the value of YAML text, all of whose keys are words.

    Raises InputError, which names ``origin``, where the text is no YAML, or is nested so deep or
    repeats itself so often that it is no recipe.
    """
    import yaml

    loader: Any = yaml.SafeLoader
    if text.isascii() and "\\ud" not in text.lower():  # half a surrogate is a byte of a name
        with contextlib.suppress(AttributeError):  # PyYAML may be built without its parser in C
            loader = yaml.CSafeLoader
    if len(text) > _MOST_BYTES:
        raise InputError(f"{origin}: larger than {_MOST_BYTES >> 20} MB, the most of a recipe")
    depth = aliases = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > _DEEPEST:
                raise InputError(
                    f"{origin}: nested over {_DEEPEST} levels deep, which no recipe is"
                )
            if aliases > _MOST_ALIASES:
                raise InputError(
                    f"{origin}: over {_MOST_ALIASES} aliases (*name); write the values out"
                )
        value = yaml.load(text, loader)
        _check_keys(value, origin)
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{origin}: not valid YAML: {type(error).__name__}: {error}") from None
    return value


def _check_keys(value: Any, origin: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(f"{origin}: key {key!r}: expected a word")
            _check_keys(inner, origin)
    elif isinstance(value, list):
        for inner in value:
            _check_keys(inner, origin)


def parse_json(text: str, origin: str) -> Any:
    """Return the value of JSON text; raise InputError, which names ``origin``, where it is none."""
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{origin}: not valid JSON: nested too deep") from None
    except ValueError as error:
        raise InputError(f"{origin}: not valid JSON ({error})") from None

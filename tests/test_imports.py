"""Imports point one way: a module imports of its own floor's folders below it, and of lower floors.

The floors are those of docs/architecture.md.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ms_restore"
FLOORS = [  # from the ground up; what stands in one line does not import each other
    {"errors", "seeds", "version"},
    {"files", "limits", "parallel", "ascend", "texts"},
    {"runtime", "array_files", "hdf5_files"},
    {"matlab_files"},
    {"settings"},
    {"contracts"},
    {"registry"},
    {"recipe"},
    {"images", "networks"},
    {"degradations"},
    {"report", "data", "weights"},
    {"metrics"},
    {"inference"},
    {"deploy", "launch", "preparation", "solvers", "training"},
    {"verbs"},
    {"api", "cli_help", "cli_options", "demo"},
    {"cli_verbs"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
ENTRY = PACKAGE / "launch" / "rank_main.py"  # a script that msrun starts; nothing imports it
MODULES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py", ENTRY})


def room_of(module: str) -> str:
    """The file or folder right below the package."""
    return module.split(".")[1] if "." in module else ""


def imported(path: Path) -> set[str]:
    """The modules of this package that a file imports, wherever in it; not what only types need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = [
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    ]
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "ms_restore":
            found |= {f"ms_restore.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    own = {module for module in found if module.startswith("ms_restore.")}
    return own


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = parts[0]
    for module in imported(path):
        there = room_of(module)
        assert there in FLOOR, f"{there}: on which floor is it?"
        assert there == here or FLOOR[there] < FLOOR[here], f"{path.name} imports {module}"


def test_pictures_and_networks_stand_by_themselves():
    allowed = {"images": {"errors", "files", "images", "limits"}, "networks": {"networks"}}
    for folder, rooms in allowed.items():
        for path in (PACKAGE / folder).glob("*.py"):
            assert {room_of(module) for module in imported(path)} <= rooms, path


def test_reading_is_apart_from_writing():
    """What reads prepared sets imports nothing of what writes them."""
    for path in (PACKAGE / "data").rglob("*.py"):
        assert not any("preparation" in module for module in imported(path))


def test_no_file_is_long_and_no_function_either():
    long = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            long.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name != "_parser":
                lines = (node.end_lineno or 0) - node.lineno + 1
                lines -= len((ast.get_docstring(node) or "").splitlines())
                long += [f"{path.name}:{node.name}"] if lines > 60 else []
    assert not long


def test_files_have_names_of_their_own():
    names = [path.name for path in MODULES if path.name != "__init__.py"]
    twice = {name for name in names if names.count(name) > 1}
    assert twice <= {"noise2noise.py"}, twice


def test_no_verb_has_the_name_of_a_folder():
    """Such a folder, once imported, would take the place of the function."""
    import ms_restore

    assert not set(ms_restore.__all__) & set(FLOOR)


def test_parts_are_not_probed():
    """What a caller's network leaves out is read in one place; elsewhere contracts say what is."""
    probing = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3):
                probing.append(str(path.relative_to(PACKAGE)))
    assert set(probing) == {"contracts/network.py"}


def test_parts_and_sources_have_types():
    """No parameter that takes a part is of any type."""
    parts = {"network", "degradation", "loss", "optimizer", "solver", "source", "engine", "prior"}
    untyped = [
        f"{path.name}:{node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.arg in parts and "id='Any'" in ast.dump(argument)
    ]
    assert not untyped


def test_constructors_of_training_take_few_arguments():
    """Settings travel as objects; the operators of one's own have settings as arguments."""
    for path in (PACKAGE / "training").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                arguments = [*node.args.args[1:], *node.args.kwonlyargs]
                assert len(arguments) <= 6, f"{path.name}, line {node.lineno}"

"""Libraries in the place of CANN's, with which MindSpore compiles graphs for an Ascend anywhere.

MindSpore's plugin for Ascends asks for some hundred functions of CANN. Here all of them do nothing
and return 0, which is enough for ``MS_SIMULATION_LEVEL=0``: graphs are compiled, and none is run.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

# what CANN's libraries are called; one of them holds everything, the others lead to it
_ALL = "libascendcl.so"
_OTHERS = ["ascend_hal", "c_sec", "ge_runner", "graph", "msprofiler", "nnopbase", "platform"]
_OTHERS += ["runtime", "hccl"]
_ERRORS = "_ZN2ge13StatusFactory8InstanceEv"  # returns a map, into which the plugin writes
_DATA = ("_ZTV", "_ZTI", "_ZTS")
_NOT_CANN = ("_ITM", "__gmon", "_ZTH", "Py", "_Py", "_ZSt", "_ZNSt", "_ZNKSt")

_SOURCE = r"""
#include <map>
#include <string>
extern "C" {
long nothing() { return 0; }
void* itself(void* object) { return object; }
char table[1024];
void* errors() asm("%s");
void* errors() { static auto* known = new std::map<unsigned, std::string>; return known; }
const char* aclrtGetSocName() { return "Ascend910B2"; }
"""
_CHOICE = r"""
#include <memory>
#include <string>
namespace mindspore {
struct MsContext {
  static std::shared_ptr<MsContext> GetInstance();
  void set_ascend_soc_version(const std::string&);
};
}
extern "C" void choose_soc(const char* name) {
  mindspore::MsContext::GetInstance()->set_ascend_soc_version(name);
}
"""


def missing_tools() -> str:
    """Why no stubs can be built here; empty if they can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"stubs for Ascend are for x86-64 Linux, this is {platform.machine()} {sys.platform}"
    absent = [tool for tool in ("g++", "nm") if shutil.which(tool) is None]
    return f"stubs for Ascend need {' and '.join(absent)}" if absent else ""


def build(folder: Path) -> dict[str, str]:
    """Build the libraries, and return the environment variables that make MindSpore take them."""
    origin = importlib.util.find_spec("mindspore").origin
    lib = Path(origin).parent / "lib"
    out = folder / "cann" / "lib64"
    out.mkdir(parents=True)
    lines = [_SOURCE % _ERRORS]
    for name in asked(lib):
        if name.startswith(_DATA):
            lines.append(f'extern char data{len(lines)}[1024] asm("{name}") ')
            lines[-1] += '__attribute__((alias("table")));'
        else:
            like = "itself" if name.startswith(("_ZN2ge", "_ZNK2ge")) else "nothing"
            lines.append(f'long call{len(lines)}() asm("{name}") __attribute__((alias("{like}")));')
    source = out / "cann.cc"
    source.write_text("\n".join([*lines, "}"]), encoding="utf-8")
    _compile(source, out / _ALL, "-Wno-attribute-alias", "-Wno-attributes")
    empty = out / "empty.cc"
    empty.write_text("")
    for name in _OTHERS:
        _compile(empty, out / f"lib{name}.so", f"-L{out}", "-Wl,--no-as-needed", "-lascendcl")
    choice = out / "choice.cc"
    choice.write_text(_CHOICE)
    core = [f"-L{lib}", "-l:libmindspore_core.so", f"-Wl,-rpath,{lib}"]
    _compile(choice, folder / "libchoice.so", "-D_GLIBCXX_USE_CXX11_ABI=0", *core)
    environment = {
        "LD_LIBRARY_PATH": f"{out}:{lib / 'plugin' / 'ascend'}",
        "ASCEND_HOME_PATH": str(out.parent),
        "ASCEND_OPP_PATH": str(out.parent / "opp"),
        "MS_SIMULATION_LEVEL": "0",
        "RANK_SIZE": "2",
        "RANK_ID": "0",
        "STUBS": str(folder / "libchoice.so"),
    }
    _check(lib, {**os.environ, **environment})
    return environment


def asked(lib: Path) -> list[str]:
    """The symbols that the plugin wants and that neither the wheel nor the system has."""
    plugin = [*lib.glob("plugin/libmindspore_*ascend*.so*"), *lib.glob("plugin/ascend/*.so")]
    plugin += [
        path
        for folder in ("ms_kernels_internal", "ms_kernels_symmetric_memory")
        for path in lib.glob(f"plugin/ascend/{folder}/**/*.so")
    ]
    plugin = [path for path in plugin if "cpu_kernels" not in path.name]
    wheel = [*lib.glob("*.so*"), *lib.parent.glob("*.so"), *plugin]
    system = [
        Path(line.split("=>")[-1].split()[0])
        for line in _output("ldd", lib / "libmindspore_core.so").splitlines()
        if line.split("=>")[-1].strip().startswith("/")
    ]
    given = _symbols("--defined-only", [*wheel, *system])
    wanted = _symbols("--undefined-only", plugin) - given - {_ERRORS, "aclrtGetSocName"}
    return sorted(name for name in wanted if not name.startswith(_NOT_CANN))


def _symbols(which: str, paths: list[Path]) -> set[str]:
    listed = _output("nm", "-D", "-P", which, *paths)
    rows = (line.split() for line in listed.splitlines())
    return {row[0].split("@")[0] for row in rows if len(row) > 1}


def _output(*command: object) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True).stdout


def _compile(source: Path, target: Path, *options: str) -> None:
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-w", "-o", target, source, *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{source.name}: {done.stderr[-2000:]}")


def _check(lib: Path, environment: dict[str, str]) -> None:
    """Load the plugin, every symbol at once; raise RuntimeError that names what is missing."""
    plugin = next(lib.glob("plugin/libmindspore_ascend.so*"))
    program = "import ctypes, os, sys, mindspore as ms; print(ms.__version__, flush=True); "
    program += "ctypes.CDLL(sys.argv[1], os.RTLD_NOW)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(plugin)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        version = done.stdout.strip() or "MindSpore"
        raise RuntimeError(f"{version} wants more than the stubs have: {done.stderr[-600:]}")

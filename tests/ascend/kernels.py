"""What the installed MindSpore says of its operators' kernels on an Ascend."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import lru_cache
from pathlib import Path

# Listed by the wheel for the slow AICPU alone, since it does not list CANN's own kernels. CANN has
# fast ones for them: the operators of its tuning tool (AOE, CANN 8.5), which are those of the AI
# Core, are AddN, BiasAdd, BiasAddGrad, RealDiv, ReduceMeanD and StridedSliceD among others; Reshape
# moves nothing. That StridedSliceGrad has a fast kernel is believed.
OF_CANN = {"AddN", "BiasAdd", "BiasAddGrad", "RealDiv", "ReduceMean", "StridedSlice", "Reshape"}
OF_CANN |= {"StridedSliceGrad"}
# GetNext takes a batch from the queue of data sink; ScalarMul and ScalarFloorDiv compute sizes of a
# picture, on the host that launches the kernels; Generator steps a seed there.
BESIDE = {"GetNext", "ScalarMul", "ScalarFloorDiv", "Generator"}


@lru_cache(maxsize=1)
def _lists() -> tuple[set[str], set[str], bytes]:
    """Operators with AICPU kernels, those with others, and the plugin itself."""
    root = Path(importlib.util.find_spec("mindspore").origin).parent
    lines = (root / "config" / "op_info.config").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    slow = {row["op_name"] for row in rows if row["imply_type"] == "AiCPU"}
    fast = {row["op_name"] for row in rows if row.get("processor") == "AiCore"}
    (custom,) = root.glob("lib/plugin/ascend/custom_aicpu_ops/**/cust_aicpu_kernel.json")
    slow |= set(json.loads(custom.read_text(encoding="utf-8")))
    own = (root / "lib" / "plugin" / "libmindspore_ops_ascend.so").read_bytes()
    fast |= {name.decode() for name in re.findall(rb"aclnn([A-Z]\w+)", own)}
    fast |= {name.decode() for name in re.findall(rb"\d([A-Z][A-Za-z0-9]+?)Ascend", own)}
    others = ["libmindspore_graph_ir.so", "libmindspore_ascend_res_manager.so"]
    rest = b"".join((root / "lib" / "plugin" / "ascend" / name).read_bytes() for name in others)
    return slow, fast, own + rest


def slow(names: set[str]) -> set[str]:
    """Those that an Ascend computes on its AICPU, as far as the wheel says."""
    listed, fast, _ = _lists()
    return {name for name in names if name in listed and name not in fast | OF_CANN | BESIDE}


def unknown(names: set[str]) -> set[str]:
    """Those that the wheel's lists and libraries for Ascend do not name at all."""
    listed, fast, plugin = _lists()
    return {
        n for n in names if n not in listed | fast | OF_CANN | BESIDE and n.encode() not in plugin
    }

#!/usr/bin/env bash
# Installs what restores pictures by exported files into the Python that is given, without MindSpore:
#   scripts/install_serving.sh [PYTHON]        # python by default; better one of an environment of its own
# infer, eval, restore and load_model then take .onnx files, and checkpoints with their kept export.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${1:-python}

"$python" -m pip install --quiet --disable-pip-version-check -r "$top/scripts/requirements-serving.txt"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps "$top"
echo "installed; try: ms-restore infer --checkpoint net.onnx --input photo.png --output restored.png"

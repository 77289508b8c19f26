#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Installs, trains a small EDSR on the embedded photos, scores it on held-out ones, writes pictures.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" ""

run=runs/quickstart
for ((i = 2; ; i++)); do
    [ -e "$run" ] || break
    run=runs/quickstart-$i
done
.venv/bin/python train.py --model edsr_quickstart --device_target CPU --output_dir "$run"
.venv/bin/python eval.py --checkpoint "$run" --device_target CPU
echo "Look at $run/eval/comparisons/coffee.png: bicubic, ours and the original side by side."
echo "Your own picture, twice as large: .venv/bin/ms-restore infer --checkpoint $run --input IN.png --output OUT.png"

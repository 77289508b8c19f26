#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Shows a run that was trained with --logger mindinsight: scripts/start_mindinsight.sh RUN_DIR [PORT]
# MindInsight is out of date (its last release is 2.3.1); --logger tensorboard shows the same figures and pictures.
# MindInsight needs an older protobuf than MindSpore, so it gets an environment of its own.
set -euo pipefail
run=${1:?usage: scripts/start_mindinsight.sh RUN_DIR [PORT]}
port=${2:-8080}
if [ ! -d "$run/mindinsight" ]; then
    echo "$run holds no summaries (mindinsight/); train with --logger mindinsight" >&2
    exit 2
fi
summaries=$(cd "$run/mindinsight" && pwd)
source "$(dirname "${BASH_SOURCE[0]}")/find_python.sh"

environment=.venv-mindinsight
if [ ! -e "$environment/installed" ]; then
    echo "Installing MindInsight into $environment ..."
    make_venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check \
        mindinsight==2.3.1 'numpy<2' 'pandas<2.2' 'setuptools<70'
    touch "$environment/installed"
fi
export PATH="$PWD/$environment/bin:$PATH" # it starts gunicorn by name
workspace=$(mktemp -d)
trap 'mindinsight stop --port "$port" >/dev/null; rm -rf "$workspace"' EXIT
mindinsight start --port "$port" --summary-base-dir "$summaries" --workspace "$workspace"
echo "http://127.0.0.1:$port shows $summaries; Ctrl-C ends it"
while :; do sleep 1; done

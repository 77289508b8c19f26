# shellcheck shell=bash source-path=SCRIPTDIR
# Sourced by the other scripts: makes .venv with this package in it, and goes to the repository's top.
# usage: source environment.sh [EXTRA]      (EXTRA: test)
source "$(dirname "${BASH_SOURCE[0]}")/find_python.sh"

install_package() {
    local extra=$1 sum
    sum=$(cat pyproject.toml setup.py scripts/environment.sh | cksum | cut -d' ' -f1)
    compgen -G ".venv/installed-${extra:-*}-$sum" >/dev/null && return
    [ -x .venv/bin/python ] || make_venv .venv || return 2
    echo "Installing into .venv (MindSpore is large: a minute or more) ..." >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}" || return 2
    if [ "$extra" = test ]; then # its dependency PyTorch is large, and not used
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps pnnx || return 2
    fi
    touch ".venv/installed-${extra:-plain}-$sum"
}

install_package "${1:-}" || exit 2

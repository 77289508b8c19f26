# Sourced by the other scripts: makes .venv with this package in it, and goes to the repository's top.
# usage: source environment.sh [EXTRA]      (EXTRA: test)
# PYTHON=/path/to/python3.x chooses the interpreter.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10 python3.9}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.9 to 3.12 found (${PYTHON:-python3}); install one, or name it: PYTHON=python3.11 bash $0" >&2
    return 2
}

make_environment() {
    local extra=$1 python stamp
    stamp=.venv/installed-${extra:-plain}-$(cat pyproject.toml setup.py | cksum | cut -d' ' -f1)
    if [ ! -e "$stamp" ]; then
        if [ ! -x .venv/bin/python ]; then
            python=$(find_python) || return 2
            if ! "$python" -m venv .venv; then
                rm -rf .venv
                echo "Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
                return 2
            fi
        fi
        echo "Installing into .venv (MindSpore is large: a minute or more) ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}" || return 2
        touch "$stamp"
    fi
}

make_environment "${1:-}" || exit 2

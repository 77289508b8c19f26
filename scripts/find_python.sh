# shellcheck shell=bash source-path=SCRIPTDIR
# Sourced by the other scripts: goes to the repository's top and defines make_venv FOLDER.
# PYTHON=/path/to/python3.x chooses the interpreter.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

make_venv() {
    local candidate python=
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.10 python3.9}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "No Python 3.9 to 3.12 found (${PYTHON:-python3}); install one, or name it: PYTHON=python3.11 bash $0" >&2
        return 2
    fi
    if ! "$python" -m venv "$1"; then
        rm -rf "$1"
        echo "Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
        return 2
    fi
}

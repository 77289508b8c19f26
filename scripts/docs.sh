#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Builds the docs site into build/site, or shows it while you write: scripts/docs.sh [--serve]
# DOCS_REPOSITORY is where links to code lead, DOCS_URL where the site will be; both may be left out.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" docs

# Mermaid draws the diagrams in the reader's browser; from the site itself, so that it works offline.
mermaid=11.17.2
if [ ! -f build/mermaid.min.js ]; then
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    if npm pack --silent --pack-destination "$fetched" "mermaid@$mermaid" >/dev/null; then
        tar -xzf "$fetched/mermaid-$mermaid.tgz" -C "$fetched" package/dist/mermaid.min.js
        mkdir -p build
        mv "$fetched/package/dist/mermaid.min.js" build/
    else
        echo "no npm, or no network: readers' browsers fetch Mermaid from unpkg.com" >&2
    fi
fi

export NO_MKDOCS_2_WARNING=1
case ${1:-} in
--serve) .venv/bin/python -m mkdocs serve ;;
*) .venv/bin/python -m mkdocs build --strict ;;
esac

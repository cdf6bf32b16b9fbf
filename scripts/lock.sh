#!/usr/bin/env bash
# Writes requirements.lock: for every dependency of pyproject.toml, to the last transitive one, the version that stands
# there already if it still fits, else the newest that does. Options go to pip-compile: --upgrade, --upgrade-package NAME.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
groups() { .venv/bin/python -c "
import sys, tomllib
groups = tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']
print('\n'.join(groups[sys.argv[1]]))" "$1"; }

mapfile -t lockers < <(groups lock)
.venv/bin/python -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check "${lockers[@]}"
groups build >"$tools/build.in"
CUSTOM_COMPILE_COMMAND="make lock" "$tools/bin/pip-compile" --quiet --all-extras --allow-unsafe --strip-extras \
    --no-emit-options --output-file requirements.lock "$@" \
    pyproject.toml "$tools/build.in"
# torch's builds for CPU and CUDA count as one version; names of temporary folders say nothing.
sed -i -e 's/+cpu$//' -e "s|-r $tools/build.in|[dependency-groups] build|" requirements.lock

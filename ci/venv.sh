#!/usr/bin/env bash
# ci/venv.sh DIR: a virtual environment with the harness and its tools, at the pinned versions.
set -euo pipefail
venv=$1
for python in python3.13 python3.12 python3.11 python3; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then break; fi
  python=
done
if [ -z "$python" ]; then
  echo "Python 3.11 or newer is missing" >&2
  exit 70
fi
"$python" -m venv "$venv"
echo "installing the harness into $venv ($("$python" --version))"
"$venv/bin/pip" install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'

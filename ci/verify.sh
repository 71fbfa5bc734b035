#!/usr/bin/env bash
# ci/verify.sh BIN [PYTEST ARGUMENT...]: lint, format, types, floors, unit and contract tests.
# Runs everything, then reports; fails if anything did. Many tests wait for a deadline: three share two cores well.
set -uo pipefail
bin=$1
shift
failed=()

step() {
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}

step ruff "$bin/ruff" check harness tests ci
step format "$bin/ruff" format --check harness tests ci
step mypy "$bin/mypy"
step floors "$bin/lint-imports" --no-logo
step tests "$bin/pytest" tests/unit tests/contract -q -n 3 --dist loadfile -m "not cluster" "$@"

if [ ${#failed[@]} -gt 0 ]; then
  echo "verify: failed: ${failed[*]}"
  exit 1
fi
echo "verify: all passed"

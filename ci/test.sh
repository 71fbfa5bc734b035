#!/usr/bin/env bash
# ci/test.sh BIN: everything that proves a feature once. Runs all parts, then reports.
set -uo pipefail
bin=$1
status=0

bash ci/verify.sh "$bin" || status=1
echo "== real clusters"
"$bin/pytest" tests/cluster tests/contract -m "cluster and not nightly" -q --durations=15 || status=1
exit $status

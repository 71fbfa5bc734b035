#!/usr/bin/env bash
# ci/test.sh BIN: everything that proves a feature once. Runs all parts, then reports.
#
# Files of cluster tests run two at a time, each on an engine of its own: most of a test is waiting. Emulated machines
# take all cores, and come alone.
#
# A test of a real cluster that failed is tried once more, alone, and called FLAKY where it passes then: engines lose
# gossip now and then (README, "Found so far"). Failures in more than $most files (a file shares a cluster) are no accident,
# and are not tried again. Unit tests are never tried twice.
set -uo pipefail
bin=$1
status=0
most=3
cache=.pytest_cache/v/cache/lastfailed

failed() { # the tests that the last run of pytest left failing, one a line
    [ -f $cache ] && "$bin/python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' $cache
}

clusters() { # MARKS [PYTEST ARGUMENT...]
    local marks=$1 first count again
    shift
    rm -f $cache
    "$bin/pytest" tests/cluster tests/contract -m "$marks" -q --durations=15 "$@" && return 0
    first=$(failed)
    count=$(grep -o '^[^:]\+' <<<"$first" | sort -u | wc -l)
    if [ "$count" -eq 0 ] || [ "$count" -gt $most ]; then return 1; fi
    echo "== tried once more, alone: what failed, in $count files"
    "$bin/pytest" tests/cluster tests/contract -m "$marks" -q --last-failed --last-failed-no-failures none
    again=$?
    while read -r test; do
        failed | grep -qxF -- "$test" || echo "FLAKY, passed on try 2: $test"
    done <<<"$first"
    return $again
}

bash ci/verify.sh "$bin" || status=1
echo "== real clusters, two files at a time"
clusters "cluster and not nightly and not vm" -n 2 --dist loadfile || status=1
echo "== machines with a kernel of their own"
clusters "vm and not nightly" || status=1
exit $status

#!/bin/sh
# Adds what a job ran to the record over nights, and shows it: ci/record.sh RUNS RECORD
# RECORD is a folder that the CI keeps from night to night; of each run it holds results and report, of the last 300.
set -eu
[ $# = 2 ] || { echo "usage: $0 RUNS RECORD" >&2; exit 64; }
runs=$1 record=$2
mkdir -p "$record"
for results in "$runs"/*/results.json; do
  folder=$(dirname "$results")
  [ -e "$results" ] && [ ! -L "$folder" ] || continue
  mkdir -p "$record/$(basename "$folder")"
  for name in results.json report.html; do
    [ ! -e "$folder/$name" ] || cp "$folder/$name" "$record/$(basename "$folder")/"
  done
done
# the names of runs begin with their time
ls -1 "$record" | grep '^[0-9]' | sort | head -n -300 | while read -r old; do rm -rf "${record:?}/$old"; done
# its code is the last run's, which the job has already
harness record "$record" || [ $? -le 2 ]

#!/bin/bash
# `make bench`: clones and fingerprints of the engine against those of others, on one throw-away server.
#
#   run.sh ENGINE
#
# Every round does every measure once, in turn; the numbers are medians over the rounds. Before each measure there is a
# CHECKPOINT and a sync. A measure that fails is missing, and then this ends with exit 1 and names it.
#
#   SCALE         of pgbench; the mixed database grows with it           (60: some 900 MB and 400 MB)
#   ROUNDS        how often everything is measured                       (5)
#   JOBS          sessions of whoever works in parallel                  (the number of cores)
#   CLONE_METHOD  of our cold clone                                      (stream)
#   MEASURES      only these; for work on one of them, never complete    (all; the names are in measures.sh)
#   BENCH_DIR     where the server's data goes: a real disk, a short path, open to other accounts (/var/tmp)
#   OUT           the page; docs/benchmarks.md for a complete run of 5 rounds or more, else target/bench/benchmarks.md
set -euo pipefail

engine=$(realpath "${1:?the engine program}")
cd "$(dirname "$0")/../.."

SCALE=${SCALE:-60} ROUNDS=${ROUNDS:-5} JOBS=${JOBS:-$(nproc)} CLONE_METHOD=${CLONE_METHOD:-stream}
BENCH_DIR=${BENCH_DIR:-/var/tmp}
only=${MEASURES:-}
logs=$PWD/target/bench
results=$logs/results.tsv

. tests/bench/common.sh
. tests/bench/server.sh
. tests/bench/databases.sh
. tests/bench/measures.sh

# Does measure $2 on database $1 in round $3, and writes down what came of it:
# database, measure, round, seconds, processor seconds, `ok` or where to read why not.
measure() {
    local log="$logs/$1.$2.$3.log" before after TIMEFORMAT='%R %U %S'
    if failed "$1" "$2"; then return; fi
    step "before_$2" "$1" "$log"
    if [ "$status" -eq 0 ]; then
        psql -Xq -c CHECKPOINT
        sync
        before=$(server_cpu)
        { time step "run_$2" "$1" "$log"; } 2>"$work/time"
        after=$(server_cpu)
    fi
    if [ "$status" -eq 0 ]; then step "after_$2" "$1" "$log"; fi
    if [ "$status" -ne 0 ]; then
        printf '%s\t%s\t%s\t-\t-\t%s\n' "$1" "$2" "$3" "${log#"$PWD"/}" >>"$results"
        echo "    $2 FAILED: $(grep -v '^$' "$log" | tail -1 | cut -c 1-150)"
        return
    fi
    read -r wall user system <"$work/time"
    printf '%s\t%s\t%s\t%s\t%s\tok\n' "$1" "$2" "$3" "$wall" \
        "$(awk "BEGIN { print $user + $system + $after - $before }")" >>"$results"
    printf '    %-16s %8.2f s\n' "$2" "$wall"
}

# Runs a function of a measure, if there is one, in a shell of its own where any error ends it; sets `status`.
# Never call it behind `if`, `!`, `&&` or `||`: there bash goes on after errors, however deep.
step() {
    status=0
    if declare -F "$1" >/dev/null; then
        set +e
        (set -euo pipefail; "$1" "$2") >>"$3" 2>&1
        status=$?
        set -e
    fi
}

# Has the measure failed before? It would again.
failed() { awk -F '\t' -v d="$1" -v m="$2" '$1 == d && $2 == m && $6 != "ok" { found = 1 } END { exit !found }' "$results"; }

rm -rf "$logs"
mkdir -p "$logs"
: >"$results"
find_programs
start_server
work=$home/work
mkdir "$work"
began=$(date +%s)
echo "making the databases, scale $SCALE"
for database in "${DATABASES[@]}"; do make_database "$database"; done
for round in $(seq "$ROUNDS"); do
    for database in "${DATABASES[@]}"; do
        echo "  round $round of $ROUNDS, $database"
        for name in "${MEASURES[@]}"; do
            if [ -z "$only" ] || [[ " $only " = *" $name "* ]]; then measure "$database" "$name" "$round"; fi
        done
    done
done
took=$(($(date +%s) - began))
. tests/bench/report.sh

#!/bin/bash
# `make bench-review`: what `engine diff` of two large plans costs, on files alone. Writes $OUT.
#
#   review.sh ENGINE
#
#   STAGES     stages of each plan             (5000)
#   ROUNDS     how often each is measured      (5)
#   OUT        the page                        (docs/benchmarks-review.md)
set -euo pipefail

engine=$(realpath "${1:?the engine program}")
cd "$(dirname "$0")/../.."

STAGES=${STAGES:-5000} ROUNDS=${ROUNDS:-5} OUT=${OUT:-docs/benchmarks-review.md}
tools=$PWD/tests/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TIMED_LOG=$work/log TIMED_CPU=1

. tests/bench/common.sh

# A plan of form $1 in folder $2: a clone, and stages in a chain; the bound of the middle one is $3.
#   plain   one INSERT of one template that all share
#   full    with a guard, an ensure, a rollback and two proofs each
#   own     the same, with templates of its own for each stage
plan() {
    mkdir -p "$2/plans" "$2/templates/bench"
    echo 'INSERT INTO public.n (v) VALUES (1);' >"$2/templates/bench/one.sql"
    echo 'DELETE FROM public.n WHERE v = 1;' >"$2/templates/bench/back.sql"
    {
        targets bench_target
        cat <<TOML
[probe.rows]
on = "clone"
sql = "SELECT count(*) AS rows FROM public.n"
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "a benchmark"
TOML
        awk -v form="$1" -v stages="$STAGES" -v bound="$3" -v templates="$2/templates/bench" 'BEGIN {
            before = "clone"
            for (i = 1; i < stages; i++) {
                name = sprintf("s%05d", i)
                one = "one.sql"; back = "back.sql"
                if (form == "own") {
                    one = name ".sql"; back = name ".rollback.sql"
                    printf "INSERT INTO public.n (v) VALUES (%d);\n", i >(templates "/" one)
                    printf "DELETE FROM public.n WHERE v = %d;\n", i >(templates "/" back)
                    close(templates "/" one); close(templates "/" back)
                }
                printf "[stage.%s]\non = \"clone\"\nneeds = [\"%s\"]\nfile = \"bench/%s\"\n", name, before, one
                printf "writes.n = %d\n", (i == int(stages / 2)) ? bound : 1
                if (form == "plain") printf "no_rollback = \"a benchmark\"\nno_guard = \"a benchmark\"\n"
                else {
                    printf "guard.before = \"rows >= %d\"\nensure.after = \"rows >= %d\"\n", i - 1, i
                    printf "rollback = \"bench/%s\"\nprove = [\"idempotent\", \"reversible\"]\n", back
                }
                before = name
            }
        }'
    } >"$2/plans/bench.toml"
}

# A row of the table: form $1, called $2.
row() {
    local line seconds
    plan "$1" "$work/$1/old" 1
    plan "$1" "$work/$1/new" 2
    : >"$work/$1.times"
    for round in $(seq "$ROUNDS"); do
        line=$(python3 "$tools/timed.py" "$engine" diff "$work/$1/old/plans/bench.toml" "$work/$1/new/plans/bench.toml")
        # One bound went up: the risk is raised.
        [ "${line##* }" = 21 ] || { tail -5 "$TIMED_LOG" >&2; die "diff of $1 ended with ${line##* }"; }
        echo "$line" >>"$work/$1.times"
        echo "  $1, round $round: $line" >&2
    done
    seconds=$(median <"$work/$1.times")
    echo "| $2 | $seconds s | $(sort -n "$work/$1.times" | awk 'NR == 1 { print $1 }') s | $(awk '{ print $3 }' "$work/$1.times" | median) s | $(awk '{ print $2 }' "$work/$1.times" | median) MiB | 1 s | $(verdict "$seconds" 1) |"
}

before=$(cut -d ' ' -f 1-3 /proc/loadavg)
rows=$(
    row plain 'one INSERT each'
    row full 'with a guard, an ensure, a rollback and two proofs each'
    row own 'the same, with two templates of its own for each stage'
)
mkdir -p "$(dirname "$OUT")"
cat >"$OUT" <<TEXT
# What a review costs

Written by \`make bench-review\` on $(date +%Y-%m-%d): medians of $ROUNDS rounds, $(nproc) cores, $("$engine" --version),
load $before before it and $(cut -d ' ' -f 1-3 /proc/loadavg) after it, niceness $(nice). What else runs on the machine is in
the times; least of all in the processor time, which both threads of a \`diff\` share.

| \`engine diff\` of two plans of $STAGES stages, one bound edited | median | best | processor time | largest resident set | goal | verdict |
| --- | --- | --- | --- | --- | --- | --- |
$rows

- Both plans are compiled as \`check\` does, beside each other; SQL that both say, or that one says twice, is parsed once.
- Files are read from the page cache: the first round, and what wrote the plans, have read them before.
TEXT
sed -n '/^|/p' "$OUT"

#!/bin/bash
# `make bench-stages`: what a stage costs, on one throw-away server with ordinary durability. Writes $OUT.
#
#   stages.sh ENGINE
#
#   CHAIN      stages of the chain that is run      (1000)
#   MANY       stages of the plan that is checked   (10000)
#   ROUNDS     how often each is measured           (3)
#   FAR        ms that an answer takes in a third chain, of fewer stages, as from a server that is far away (20)
#   SLOWER     ms that each sync takes longer in a second chain, as on a slower disk (1)
#   BENCH_DIR  where the server's data goes         (/var/tmp)
#   OUT        the page                             (docs/benchmarks-stages.md)
set -euo pipefail

engine=$(realpath "${1:?the engine program}")
cd "$(dirname "$0")/../.."

CHAIN=${CHAIN:-1000} MANY=${MANY:-10000} ROUNDS=${ROUNDS:-3} SLOWER=${SLOWER:-1} FAR=${FAR:-20} BENCH_DIR=${BENCH_DIR:-/var/tmp}
OUT=${OUT:-docs/benchmarks-stages.md}
tools=$PWD/tests/bench
logs=$PWD/target/bench-stages

. tests/bench/common.sh
. tests/bench/server.sh

# A plan in folder $1: a clone, and $2 stages in a chain that each insert one row.
plan() {
    mkdir -p "$1/plans" "$1/templates/bench"
    echo 'INSERT INTO public.n (v) VALUES (1);' >"$1/templates/bench/one.sql"
    {
        targets bench_target
        cat <<TOML
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "a benchmark"
TOML
        awk -v stages="$2" 'BEGIN {
            before = "clone"
            for (i = 1; i <= stages; i++) {
                name = sprintf("s%05d", i)
                printf "[stage.%s]\non = \"clone\"\nneeds = [\"%s\"]\nfile = \"bench/one.sql\"\n", name, before
                printf "no_rollback = \"a benchmark\"\nno_guard = \"a benchmark\"\nwrites.n = 1\n"
                before = name
            }
        }'
    } >"$1/plans/bench.toml"
}

# Runs the engine in folder $1 with the words that follow; prints seconds, MiB, exit code.
timed() {
    (
        cd "$1"
        shift
        export BENCH_PRODUCTION_URL BENCH_CLONE_URL BENCH_MAKER_URL TIMED_LOG=$logs/$log
        python3 "$tools/timed.py" "$engine" "$@"
    )
}

# The same, and it must succeed.
done_in() {
    local line
    line=$(timed "$@")
    [ "${line##* }" = 0 ] || { tail -5 "$logs/$log" >&2; die "engine ${*:2} ended with ${line##* }"; }
    echo "$line"
}

# Milliseconds that one appended line takes to reach the disk: what a chain of commits costs hangs on it.
sync_ms() {
    python3 - "$home/sync" <<'PY'
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
took = []
for _ in range(200):
    os.write(file, b"x" * 400)
    began = time.monotonic()
    os.fdatasync(file)
    took.append(time.monotonic() - began)
print(f"{sorted(took)[100] * 1000:.2f}")
PY
}

rm -rf "$logs"
mkdir -p "$logs"
find_programs
start_server
work=$home/work
mkdir "$work"
sql postgres 'CREATE DATABASE bench'
psql -Xq -v ON_ERROR_STOP=1 -d bench -f sql/sample/shop/010_roles.sql
sql bench "SET ROLE shop_owner; CREATE TABLE n (v int); RESET ROLE;
           GRANT CONNECT ON DATABASE bench TO shop_owner, engine_reader;
           REVOKE CONNECT, TEMPORARY ON DATABASE bench FROM PUBLIC; GRANT SELECT ON n TO engine_reader"
BENCH_PRODUCTION_URL=$(url engine_reader bench) BENCH_CLONE_URL=$(url engine_stage postgres)
BENCH_MAKER_URL=$(url engine_cloner postgres)

# The chain and the same bare, $ROUNDS times; into files of $work that begin with $1.
chains() {
    local round folder journal
    for round in $(seq "$ROUNDS"); do
        sql postgres 'DROP DATABASE IF EXISTS bench_target WITH (FORCE)'
        folder=$work/$1.$round
        plan "$folder" "$CHAIN"
        log=$1.clone.$round done_in "$folder" apply plans/bench.toml --unlocked --until clone >/dev/null
        psql -Xq -c CHECKPOINT
        log=$1.$round done_in "$folder" resume >>"$work/$1"
        journal=$(echo "$folder"/.engine/runs/*/journal.jsonl)
        psql -Xq -c CHECKPOINT
        python3 "$tools/bare.py" "$home" 5432 bench postgres "$journal" "$folder/bare.jsonl" >>"$work/$1.bare"
        sync_ms >>"$work/$1.sync"
        echo "  round $round: $1 $(tail -1 "$work/$1"), bare $(tail -1 "$work/$1.bare")"
    done
}

# What is over the bare, as a row of the page: $1 and its words.
row() {
    local wall bare
    wall=$(median <"$work/$1") bare=$(median <"$work/$1.bare")
    awk -v wall="$wall" -v bare="$bare" -v words="$2" -v verdict="$(verdict "$(awk "BEGIN { print $wall / $bare }")" 1.5)" \
        'BEGIN { printf "| %s | %s s / %s s = %.2f | 1.5 or less | %s |\n", words, wall, bare, wall / bare, verdict }'
}

chains chain
cc -shared -fPIC -O2 -o "$logs/slow_sync.so" "$tools/slow_sync.c" -ldl
end_server
# The programs of a benchmark that sync: the server, the engine, the bare. Only they are slowed.
export SLOW_SYNC_US=$((SLOWER * 1000)) LD_PRELOAD=$logs/slow_sync.so
run_server
chains slower
unset LD_PRELOAD
end_server
run_server

# What a stage waits for a server that is far away: $FAR_STAGES stages at hand, and as many through a line that takes its time.
FAR_STAGES=30
distant=$home/distant
mkdir "$distant"
setpriv --pdeathsig TERM -- python3 "$tools/far.py" "$distant" "$home" 5432 "$FAR" &
line=$!
for round in $(seq "$ROUNDS"); do
    for place in at_hand away; do
        sql postgres 'DROP DATABASE IF EXISTS bench_target WITH (FORCE)'
        folder=$work/$place.$round
        plan "$folder" "$FAR_STAGES"
        log=$place.clone.$round done_in "$folder" apply plans/bench.toml --unlocked --until clone >/dev/null
        [ "$place" = at_hand ] || BENCH_CLONE_URL=$(home=$distant url engine_stage postgres)
        # Connections are made before the first stage, and end after the last: two runs, of which one is longer.
        log=$place.one.$round done_in "$folder" resume --until s00001 >"$folder/one"
        log=$place.$round done_in "$folder" resume >"$folder/all"
        awk -v one="$(cut -d ' ' -f 1 <"$folder/one")" '{ print $1 - one }' "$folder/all" >>"$work/$place"
        BENCH_CLONE_URL=$(url engine_stage postgres)
    done
    echo "  round $round: $FAR_STAGES stages at hand $(tail -1 "$work/at_hand"), $FAR ms away $(tail -1 "$work/away")"
done
kill "$line"

folder=$work/many
# The clone is one of them.
plan "$folder" $((MANY - 1))
for round in $(seq "$ROUNDS"); do log=check.$round done_in "$folder" check plans/bench.toml >>"$work/check"; done
echo "  check of $MANY: $(tail -1 "$work/check")"
sql postgres 'DROP DATABASE IF EXISTS bench_target WITH (FORCE)'
# Each round does one of the last stages, and all before it are done.
first=$((MANY - 1 - ROUNDS))
log=most done_in "$folder" apply plans/bench.toml --unlocked --until s00002 >"$work/most"
echo "  the first stages: $(cat "$work/most")"
python3 "$tools/lengthen.py" "$(echo "$folder"/.engine/runs/*/journal.jsonl)" s00002 3 "$first"
for round in $(seq "$ROUNDS"); do
    log=resume.$round done_in "$folder" resume --until "$(printf s%05d $((first + round)))" >>"$work/resume"
done
echo "  resume: $(tail -1 "$work/resume")"

sync=$(median <"$work/chain.sync") slower=$(median <"$work/slower.sync")
extra=$(awk "BEGIN { printf \"%.1f\", ($(median <"$work/chain") - $(median <"$work/chain.bare")) * 1000 / $CHAIN }")
away=$(median <"$work/away")
trips=$(awk "BEGIN { printf \"%.1f\", ($away - $(median <"$work/at_hand")) * 1000 / $FAR / ($FAR_STAGES - 1) }")
check=$(median <"$work/check") rss=$(awk '{ print $2 }' "$work/check" | median)
resume=$(median <"$work/resume") resume_rss=$(awk '{ print $2 }' "$work/resume" | median)
mkdir -p "$(dirname "$OUT")"
cat >"$OUT" <<TEXT
# What a stage costs

Written by \`make bench-stages\` on $(date +%Y-%m-%d): medians of $ROUNDS rounds, $(nproc) cores, data on
$(stat -f -c %T "$BENCH_DIR"), $("$engine" --version), PostgreSQL $(psql -XAt -c 'SHOW server_version'), load $(cut -d ' ' -f 1-3 /proc/loadavg).

| what | measured | goal | verdict |
| --- | --- | --- | --- |
$(row chain "$CHAIN stages of one INSERT each, in a chain, over the same bare: a sync takes $sync ms")
$(row slower "the same where a sync takes $slower ms")
| $FAR_STAGES stages on a server from which an answer takes $FAR ms | $away s; $trips answers are waited for in a stage | - | - |
| \`engine check\` of $MANY stages | $check s | 1 s | $(verdict "$check" 1) |
| the same, largest resident set | $rss MiB | 200 MiB | $(verdict "$rss" 200) |
| \`engine resume\` of a run of $MANY stages with all but one done | $resume s, $resume_rss MiB | 2 s | $(verdict "$resume" 2) |

- The engine takes $extra ms a stage more than the bare does, whatever the disk; there are nine syncs a stage, in both. The slower disk
  is this one with $SLOWER ms put on each sync of server, engine and bare (\`tests/bench/slow_sync.c\`).
- Durable: fsync on, every line of the journal synced, every id flushed before its COMMIT.
- Bare: one program that does for each stage what the disk must see: BEGIN, the INSERT, the WAL flush from a second session,
  COMMIT, the question what became of it; and the very lines that the engine wrote, each appended and synced. It proves
  nothing, measures nothing and keeps no evidence.
- The run that is taken up again has real first stages; the lines of the others are theirs, in a chain of their own
  (\`tests/bench/lengthen.py\`). Its time has the whole journal read and checked, one stage, and the dossier of all stages.
TEXT
sed -n '/^|/p' "$OUT"

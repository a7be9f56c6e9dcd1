# What is measured. Sourced by run.sh. `run_NAME DATABASE` is timed; `before_NAME` and `after_NAME` are not.
# A measure ends with a code other than 0 when it did not do its work; it is then missing, and the benchmark fails.
#
# MEASURES is also the order within a round: compare_both needs the clone that pgcopydb left.
MEASURES=(psql directory pgcopydb compare_both template template_files cold golden
    bare_copy fingerprint compare_side count watermark)

declare -A TITLE=(
    [psql]='`pg_dump \| psql`'
    [directory]='`pg_dump -Fd -Z0 -j`, `pg_restore -j`'
    [pgcopydb]='`pgcopydb clone`'
    [compare_both]='`compare data`, both sides'
    [template]='`CREATE DATABASE TEMPLATE`'
    [template_files]='the same, `STRATEGY file_copy`'
    [cold]='ours cold'
    [golden]='ours golden, 1 % changed'
    [bare_copy]='bare binary COPY out'
    [fingerprint]='ours: content fingerprint'
    [compare_side]='`compare data`, one side'
    [count]='`count(*)` of every table'
    [watermark]='ours: watermark check'
    [checked]='`pgcopydb clone` and `compare data`'
)

TARGET=bench_target

fresh_target() {
    sql postgres "DROP DATABASE IF EXISTS $TARGET"
    [ $# -eq 0 ] || sql postgres "CREATE DATABASE $TARGET TEMPLATE template0 OWNER shop_owner"
}

# Is $2 a whole copy of $1? A cheap look: the number of tables, and the rows of the big one.
whole() {
    local asked="SELECT count(*), (SELECT count(*) FROM ${BIG[$1]}) FROM pg_class WHERE relkind IN ('r', 'i', 'S', 'm', 'v')"
    local here there
    here=$(sql "$1" "$asked") there=$(sql "$2" "$asked")
    [ "$here" = "$there" ] || { echo "not a whole copy: $here there, $there in $2"; return 1; }
}

# ---------------------------------------------------------------- the others

before_psql() { fresh_target new; }
run_psql() { pg_dump "$1" | psql -Xq -v ON_ERROR_STOP=1 -d "$TARGET"; }
after_psql() { whole "$1" "$TARGET"; fresh_target; }

before_directory() { fresh_target new; rm -rf "$work/dump"; }
run_directory() {
    pg_dump -Fd -Z0 -j "$JOBS" -f "$work/dump" "$1"
    pg_restore -j "$JOBS" -d "$TARGET" "$work/dump"
}
after_directory() { whole "$1" "$TARGET"; fresh_target; rm -rf "$work/dump"; }

before_pgcopydb() { fresh_target new; rm -rf "$work/pgcopydb"; }
run_pgcopydb() {
    pgcopydb clone --dir "$work/pgcopydb" --table-jobs "$JOBS" --index-jobs "$JOBS" \
        --source "$(url postgres "$1")" --target "$(url postgres "$TARGET")"
}
after_pgcopydb() { whole "$1" "$TARGET"; rm -rf "$work/pgcopydb"; }

# What `pgcopydb compare data` does, through psql: the pgcopydb of Debian 12 does not have that command yet. It asks
# both sides of a table at once, and JOBS tables at a time. One session a side and job, where pgcopydb makes one a
# table: no slower than the real one.
before_compare_both() { lists "$1" checksum; }
run_compare_both() { work_off "$work/list" "$1" "$TARGET"; cmp "$work/out.$1" "$work/out.$TARGET"; }
after_compare_both() { fresh_target; }

before_compare_side() { lists "$1" checksum; }
run_compare_side() { work_off "$work/list" "$1"; }

before_template() { fresh_target; }
run_template() { sql postgres "CREATE DATABASE $TARGET TEMPLATE $1"; }
after_template() { whole "$1" "$TARGET"; fresh_target; }

before_template_files() { fresh_target; }
run_template_files() { sql postgres "CREATE DATABASE $TARGET TEMPLATE $1 STRATEGY file_copy"; }
after_template_files() { whole "$1" "$TARGET"; fresh_target; }

before_bare_copy() { lists "$1" copy; }
run_bare_copy() { SINK=/dev/null work_off "$work/list" "$1"; }

before_count() { JOBS=1 lists "$1" count; }
run_count() { psql -Xq -v ON_ERROR_STOP=1 -d "$1" -f "$work/list.0"; }

# Writes $work/list.0, list.1 and so on: what each of JOBS sessions has to do.
lists() {
    rm -f "$work"/list.*
    for job in $(seq 0 $((JOBS - 1))); do
        psql -XqAt -v ON_ERROR_STOP=1 -v what="$2" -v jobs="$JOBS" -v job="$job" -d "$1" -f tests/bench/lists.sql \
            >"$work/list.$job"
    done
}

# Works the lists $1.* off, in each of the databases that follow, all at once. What database D said is in out.D, or
# nowhere if there is a SINK.
work_off() {
    local list=$1 running=() part database
    shift
    for database in "$@"; do
        for part in "$list".*; do
            psql -XqAt -v ON_ERROR_STOP=1 -d "$database" -f "$part" >"${SINK:-$work/out.$database.${part##*.}}" &
            running+=($!)
        done
    done
    for part in "${running[@]}"; do wait "$part"; done
    [ -z "${SINK:-}" ] || return 0
    for database in "$@"; do cat "$work/out.$database".[0-9]* >"$work/out.$database"; done
}

# ---------------------------------------------------------------- ours

# A plan with one stage, in a working folder of its own; $1 is the source, $2 the folder, the rest more keys of the target.
plan() {
    local folder=$work/$2
    mkdir -p "$folder/plans"
    {
        targets "$TARGET"
        cat <<TOML
${3:-}
[stage.clone]
kind = "clone"
on = "clone"
needs = []
no_guard = "a benchmark"
method = "$CLONE_METHOD"
jobs = $JOBS
TOML
    } >"$folder/plans/bench.toml"
}

apply() {
    cd "$work/$2"
    BENCH_PRODUCTION_URL=$(url engine_reader "$1") BENCH_CLONE_URL=$(url engine_stage postgres) \
        BENCH_MAKER_URL=$(url engine_cloner postgres) "$engine" apply plans/bench.toml --unlocked
}

before_cold() { fresh_target; rm -rf "$work/cold"; plan "$1" cold; }
run_cold() { apply "$1" cold; }
after_cold() { whole "$1" "$TARGET"; fresh_target; }

# A new golden copy for each round, so that one percent is what has changed since. Then the change, then what is measured:
# the branch.
before_golden() {
    fresh_target
    rm -rf "$work/golden.$1"
    plan "$1" "golden.$1" "golden = \"bench_golden_$1\""
    apply "$1" "golden.$1"
    fresh_target
    change_database "$1"
}
run_golden() { apply "$1" "golden.$1"; }
after_golden() { whole "$1" "$TARGET"; fresh_target; }

run_fingerprint() { "$engine" fingerprint "$(url engine_reader "$1")" --level content --jobs "$JOBS"; }

# Against a watermark that is a moment old, so that nothing has moved: every table must be proved.
before_watermark() { "$engine" watermark "$(url engine_reader "$1")" -o "$work/watermark.$1"; }
run_watermark() { "$engine" watermark "$(url engine_reader "$1")" --against "$work/watermark.$1"; }

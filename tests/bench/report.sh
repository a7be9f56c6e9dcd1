# The page with the ratios, from results.tsv. Sourced by run.sh at its end.

machine() {
    local model memory file_system
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
    memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)
    file_system=$(stat -f -c %T "$BENCH_DIR")
    echo "$(nproc) cores of ${model:-$(uname -m)}, $memory of memory, data on $file_system"
}

versions() {
    echo "$("$engine" --version) (method \`$CLONE_METHOD\`), $(psql -XAt -c 'SHOW server_version' | sed 's/^/PostgreSQL /'),"
    pgcopydb --version 2>/dev/null | sed -n 's/^pgcopydb version /pgcopydb /p'
}

sizes() {
    for database in "${DATABASES[@]}"; do
        sql "$database" "SELECT format('%s: %s in %s tables', current_database(), pg_size_pretty(pg_database_size(current_database())),
            (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace))"
    done | paste -sd ';' | sed 's/;/; /g'
}

# The tables. Medians; `checked` is pgcopydb's clone and comparison of the same round. Ends with 1 if one is missing,
# and names what is in $logs/missing.
tables() {
    for name in "${!TITLE[@]}"; do printf 'title\t%s\t%s\n' "$name" "${TITLE[$name]}"; done |
        awk -F '\t' -v rounds="$ROUNDS" -v databases="${DATABASES[*]}" -v order="${MEASURES[*]}" \
            -v missing="$logs/missing" -f tests/bench/tables.awk - tests/bench/goals.txt "$results"
}

complete=yes
tables >"$work/tables" || complete=no
if [ -z "${OUT:-}" ]; then
    OUT=target/bench/benchmarks.md
    if [ "$complete" = yes ] && [ "$ROUNDS" -ge 5 ]; then OUT=docs/benchmarks.md; fi
fi
{
    cat <<TEXT
# Benchmarks

Written by \`make bench\` on $(date +%Y-%m-%d): $ROUNDS rounds at scale $SCALE, $JOBS jobs, $((took / 60)) minutes.

- Machine: $(machine).
- Versions: $(versions).
- Databases: $(sizes).

Ratios of wall time, medians over the rounds, all measured in turn in one run. Lower is better.

TEXT
    cat "$work/tables"
    cat <<'TEXT'

How it was measured:

- One server with ordinary durability: what `initdb` makes, fsync on, except `max_wal_size` (raised, so that no
  checkpoint falls into a measure) and `autovacuum` (off). CHECKPOINT and sync before each measure; the databases are in
  the page cache; each clone goes into a new database.
- Ours is the wall time of `engine apply` on a plan with one clone stage: preflight, clone, ANALYZE, fingerprint of the
  clone, comparison with production at the snapshot, journal. `pg_dump | psql` and `pg_restore` neither verify nor
  ANALYZE; `pgcopydb clone` does VACUUM ANALYZE.
- `compare data` is the query of that command of pgcopydb, sent by psql: Debian 12's pgcopydb does not have the command.
  Both sides at once as it does, and one side alone.
- Bare binary COPY: `COPY (SELECT ...) TO STDOUT (FORMAT binary)` of all tables, as many psql as jobs, big tables in
  ranges of ctid, to /dev/null. `count(*)` is one session, table after table, parallel query as by default.
- The role that makes our clones may set wal_compression, as docs/safety.md recommends; the others run as superuser.
- Before each golden run one percent of the rows of the biggest table are updated at random.
- Processor seconds are those of the client programs and of the whole server.
TEXT
} >"$work/page"
mkdir -p "$(dirname "$OUT")"
cp "$work/page" "$OUT"
echo
sed -n '/^|/p; /^$/p' "$work/page" | cat -s
echo "written to $OUT, $((took / 60)) minutes"
if [ "$complete" = no ]; then
    echo "bench: missing measures:" >&2
    sed 's/^/  /' "$logs/missing" >&2
    exit 1
fi

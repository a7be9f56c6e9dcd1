# The two databases that are cloned. Sourced by run.sh.
DATABASES=(pgbench mixed)

# The table of each that is changed between rounds, and how.
declare -A BIG=([pgbench]=pgbench_accounts [mixed]=documents)
declare -A KEY=([pgbench]=aid [mixed]=id)
declare -A CHANGE=([pgbench]='abalance = abalance + 1' [mixed]='price = price + 1')

make_database() {
    sql postgres "CREATE DATABASE $1"
    # Roles as in the sandbox; the database becomes shop_owner's.
    psql -Xq -v ON_ERROR_STOP=1 -d "$1" -f sql/sample/shop/010_roles.sql
    # As docs/safety.md recommends.
    sql postgres 'GRANT SET ON PARAMETER wal_compression TO engine_cloner'
    "fill_$1" >"$logs/fill.$1" 2>&1 || die "database $1 cannot be filled, see $logs/fill.$1"
    sql "$1" "GRANT CONNECT ON DATABASE $1 TO shop_owner, engine_reader;
              REVOKE CONNECT, TEMPORARY ON DATABASE $1 FROM PUBLIC;
              DO \$\$ BEGIN
                  IF NOT pg_has_role('engine_reader', 'pg_read_all_data', 'MEMBER') THEN
                      GRANT pg_read_all_data TO engine_reader;
                  END IF;
              END \$\$"
    sql "$1" 'VACUUM (ANALYZE)'
    echo "  $1: $(sql "$1" "SELECT pg_size_pretty(pg_database_size(current_database()))")"
}

fill_pgbench() { pgbench -i -q -s "$SCALE" -U shop_owner pgbench; }

fill_mixed() { psql -Xq -v ON_ERROR_STOP=1 -v scale="$SCALE" -U shop_owner -d mixed -f tests/bench/mixed.sql; }

# One percent of the rows of one table, by random key. Vacuumed, so that no measure finds work that another left.
change_database() {
    local table=${BIG[$1]} key=${KEY[$1]}
    sql "$1" "UPDATE $table SET ${CHANGE[$1]} WHERE $key IN (
                  SELECT 1 + (random() * (n - 1))::bigint
                  FROM (SELECT max($key) AS n FROM $table) AS rows, generate_series(1, n / 100))"
    sql "$1" "VACUUM $table"
}

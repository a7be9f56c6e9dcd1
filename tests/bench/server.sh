# The server of a benchmark: what initdb makes, with ordinary durability. Sourced by run.sh.
#
# `engine sandbox` is not used: it turns fsync off. Two settings differ from the defaults. max_wal_size is raised, so
# that no checkpoint falls into a measure; autovacuum is off, so that it does not choose whom to slow down.
SETTINGS=(-c listen_addresses= -c port=5432 -c timezone=UTC -c max_wal_size=16GB -c autovacuum=off)

# Finds the programs. pgcopydb knows the versions up to the one it was built with, so that one is taken.
find_programs() {
    local major
    major=$(pgcopydb --version 2>/dev/null | sed -n 's/^compiled with PostgreSQL \([0-9]*\).*/\1/p')
    programs=${ENGINE_PG_BIN:-/usr/lib/postgresql/$major/bin}
    for program in postgres initdb pgbench pg_dump pg_restore psql; do
        [ -x "$programs/$program" ] ||
            die "$programs/$program is missing; install PostgreSQL $major, or set ENGINE_PG_BIN to its folder"
    done
    export ENGINE_PG_BIN=$programs PATH=$programs:$PATH
}

# Runs a command as the account of the server: PostgreSQL refuses root. It ends with this shell, however that ends.
as_server() {
    local account=()
    [ "$(id -u)" -ne 0 ] || account=(--reuid="$account_name" --regid="$(id -g "$account_name")" --clear-groups)
    exec setpriv "${account[@]}" --pdeathsig INT -- "$@"
}

start_server() {
    account_name=postgres
    id "$account_name" >/dev/null 2>&1 || account_name=nobody
    home=$(mktemp -d "$BENCH_DIR/engine-bench.XXXXXX")
    trap stop_server EXIT
    [ "$(id -u)" -ne 0 ] || chown "$account_name" "$home"
    (cd / && as_server "$programs/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8) \
        >"$logs/initdb" 2>&1 || die "initdb failed, see $logs/initdb"
    run_server
}

run_server() {
    (cd / && as_server "$programs/postgres" -D "$home/data" "${SETTINGS[@]}" -c unix_socket_directories="$home") \
        >"$logs/server" 2>&1 &
    server=$!
    export PGHOST=$home PGPORT=5432 PGUSER=postgres PGOPTIONS='' PGDATABASE=postgres
    for _ in $(seq 300); do
        psql -XqAt -c 'SELECT 1' >/dev/null 2>&1 && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    die "the server does not start, see $logs/server"
}

end_server() {
    kill -INT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}

stop_server() {
    [ -z "${server:-}" ] || end_server
    rm -rf "$home"
}

# The connection string of role $1 on database $2.
url() { echo "postgresql://$1@${home//\//%2F}/$2"; }

sql() { psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

# Seconds of processor time of the whole server so far: backends that ended are in the numbers of their parent.
server_cpu() {
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v server="$server" -v tick="$(getconf CLK_TCK)" '
        { pid = $1; sub(/^.*\) /, "") }
        pid == server { sum += $12 + $13 + $14 + $15 }
        $2 == server { sum += $12 + $13 }
        END { printf "%.2f", sum / tick }'
}

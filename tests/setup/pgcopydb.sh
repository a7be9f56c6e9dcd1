#!/bin/sh
# Makes sure that pgcopydb is there, for `make bench`. Installs it where it can (root, apt-get); elsewhere it says the
# one command to type. Silent when there is nothing to do.
set -eu

say() { echo "pgcopydb.sh: $*" >&2; }

if command -v pgcopydb >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    say "pgcopydb is missing; install it and put it into PATH"
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    say "pgcopydb is missing; type: sudo apt-get install pgcopydb"
    exit 1
fi
say "pgcopydb is missing, installing it"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -qq --no-install-recommends pgcopydb; } >&2 ||
    { say "apt-get could not install it; type: apt-get install pgcopydb"; exit 1; }

#!/bin/sh
# `make test-matrix`: the suite against each major version of PostgreSQL, then clones from each older one into each newer.
# Goes on after a failure, and names what failed at the end.
#
#   MAJORS   which versions            (15 16 17 18)
#   TESTS    what of the suite         (all; `--lib --test main_job`, as cargo test takes it)
#   CARGO    the program               (cargo)
set -eu

cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}
found=$(sh tests/setup/majors.sh)
failed=''

for entry in $found; do
    major=${entry%%=*} folder=${entry#*=}
    echo "== PostgreSQL $major: $("$folder/postgres" --version)"
    # Not quoted: several words.
    # shellcheck disable=SC2086
    ENGINE_TEST_PG_BIN=$folder $cargo test --locked --no-fail-fast ${TESTS:-} || failed="$failed suite-on-$major"
done

echo "== clones from older into newer"
ENGINE_MATRIX_BINS=$(echo "$found" | paste -sd :) $cargo test --locked --test majors -- --nocapture || failed="$failed clones"

if [ -n "$failed" ]; then
    echo "test-matrix: failed:$failed" >&2
    exit 1
fi
echo "test-matrix: all passed on $(echo "$found" | sed 's/=.*//' | paste -sd ' ')"

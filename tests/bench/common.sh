# What benchmarks share, whether they need a server or not. Sourced by them.

die() { echo "bench: $*" >&2; exit 1; }

# The middle of the numbers that begin the lines of its input.
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Is $1 within the goal $2?
verdict() { awk -v is="$1" -v goal="$2" 'BEGIN { print is == "" ? "not measured" : is <= goal ? "reached" : "not reached" }'; }

# How a plan begins: a production, and its clone $1.
targets() {
    cat <<TOML
engine = 1
plan.name = "bench"
[target.production]
url = "env:BENCH_PRODUCTION_URL"
access = "read"
[target.clone]
clone_of = "production"
database = "$1"
url = "env:BENCH_CLONE_URL"
maker_url = "env:BENCH_MAKER_URL"
TOML
}

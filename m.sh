. /var/tmp/eb/env.sh >/dev/null
T() { local l="$1"; shift; local TIMEFORMAT="$l %R real"; time "$@" >/dev/null; }
p() { psql -Xq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
for i in 1 2; do
T "copy table bin" p pgbench "copy pgbench_accounts to stdout (format binary)"
T "copy select bin" p pgbench "copy (select aid,bid,abalance,filler from only pgbench_accounts) to stdout (format binary)"
T "copy select tidrange bin" p pgbench "copy (select aid,bid,abalance,filler from only pgbench_accounts where ctid >= '(0,0)') to stdout (format binary)"
T "copy table text" p pgbench "copy pgbench_accounts to stdout"
T "count" p pgbench "select count(*) from pgbench_accounts"
done

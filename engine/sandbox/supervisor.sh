# Runs a server as long as standard input stays open, then stops it and removes its private folder.
#
#   sh -c THIS supervisor PROGRAMS DATA PRIVATE SIGNAL OPTION...
#
# Whoever starts this holds the other end of standard input and writes nothing to it. When that process is gone,
# however it went, the kernel closes its end: that cannot be missed, and is all this waits for.
programs=$1 data=$2 private=$3 signal=$4
shift 4
cd / || exit 1
exec 3<&0 </dev/null

ending='' child=''
trap 'ending=1; [ -z "$child" ] || kill -s "$signal" "$child"' TERM
trap '' HUP INT

# The life line. It insists: a signal to a program that is just starting may be lost. A minute and no longer: a dead
# shell that nobody collected still takes signals.
(
    read -r _ <&3
    for _ in $(seq 600); do kill -s TERM $$ || break; sleep 0.1 || sleep 1; done
) 2>/dev/null &
line=$!
exec 3<&-

# Runs a program to its end, whatever interrupts the waiting; nothing is started once the end has come.
run() {
    [ -z "$ending" ] || return 1
    "$@" & child=$!
    while :; do
        wait "$child" && status=0 || status=$?
        kill -s 0 "$child" 2>/dev/null || break
    done
    child=''
    return "$status"
}

set_up() {
    rm -rf "$data.new"
    run "$programs/initdb" -D "$data.new" -U postgres -A trust -E UTF8 --no-sync --no-instructions "$@"
}

# Data is made aside and renamed: what is called DATA is whole.
if [ ! -e "$data/PG_VERSION" ]; then
    { set_up --locale=C.UTF-8 || set_up --locale=C; } && mv "$data.new" "$data"
fi
if [ -e "$data/PG_VERSION" ]; then
    run "$programs/postgres" -D "$data" "$@"
fi

[ -n "$ending" ] || : > "$private/ended"
while [ -z "$ending" ] && kill -s 0 "$line" 2>/dev/null; do wait "$line"; done
for _ in 1 2 3; do
    rm -rf "$private" 2>/dev/null
    [ -e "$private" ] || break
    sleep 0.2 || sleep 1
done
kill -s KILL "$line" 2>/dev/null

#!/bin/bash
# What vsrun does, shown with a small server: `examples/demo.sh VSRUN HELLO` (`make demo` builds both).
#
# Each command is printed and then run, and its effect is checked: the first one that is missing ends the demo with an
# error. Everything happens in a temporary directory. This needs bash and coreutils, but not root; root sees the jail
# as well. For a recording, DEMO_PAUSE is the number of seconds after each command, and DEMO_PLACE and DEMO_PORT replace
# the directory and the port that are otherwise chosen.
set -euo pipefail
vsrun=$(realpath "$1") hello=$(realpath "$2")

place=${DEMO_PLACE-}
if [[ -n $place ]]; then mkdir "$place"; else place=$(mktemp -d "${TMPDIR:-/tmp}/vsrun-demo.XXXXXX"); fi
trap clean_up EXIT
cd "$place"
chmod 755 .        # the user of the jailed server must be able to enter it
ulimit -c 0        # the crash is on purpose: no core files
mkdir bin run
ln -s "$vsrun" bin/vsrun
ln -s "$hello" bin/hello
PATH=$place/bin:$PATH
cat >bin/crashed <<'HANDLER'
#!/bin/sh
# A handler may send mail, count crashes, or refuse the restart with a status other than 0. This one prints two variables.
env | grep -E '^VSRUN_SERVER_(EXPLAIN|UPTIME)=' | sort
HANDLER
chmod +x bin/crashed

# shellcheck disable=SC2016 # `run` expands what it has shown
main() {
    find_port

    say "A server in the background: restarted after a crash, output in files for 7 days."
    run "vsrun -b -p run/hello.pid -m run/manager.pid bin/crashed -d log 7d -- hello $port"
    await "a response" answers
    run "get /"
    shows "hello from process $(<run/hello.pid),"
    run "vsrun --status run/hello.pid"
    shows "running: pid $(<run/hello.pid)"

    say "It crashes. The handler learns the reason, exits with 0, and so allows a restart."
    local before
    before=$(<run/hello.pid)
    run "get /crash"
    await "the restarted server" restarted_since "$before"
    run "cut -c 26- log/vsrun.log"
    shows "VSRUN_SERVER_EXPLAIN=killed by signal 11"
    shows "pid $before"
    run "get /"
    shows "hello from process $(<run/hello.pid),"

    say "HUP to the manager: a restart with new log files. The old ones are renamed."
    before=$(<run/hello.pid)
    run "vsrun --signal HUP run/manager.pid"
    await "the restarted server" restarted_since "$before"
    run "echo log/*"
    shows "log/logfile log/logfile.1 log/vsrun.log log/vsrun.log.1"
    grep -q "GET /crash" log/logfile.1 || fail "the request is not in log/logfile.1"

    say "Stop: it returns when the server and its manager have exited. Nothing is left."
    stop run/hello.pid

    say "What would go wrong? A dry run reports it, and changes nothing."
    run "vsrun --check -p nowhere/pid --limit nofiles=10 -- hello $port" 2
    shows "did you mean nofile?"
    run "vsrun --check -p nowhere/pid -- helo $port" 125
    shows "helo"
    deployment
    if [[ $EUID -eq 0 ]]; then
        jail
    fi
    say "That was vsrun. More: vsrun -h, vsrun --help, man vsrun"
}

deployment() {
    local before after
    say "The server with a socket of vsrun's. It reports on descriptor 4 that it is ready."
    run "vsrun -b -p run/hello.pid -m - - -d log 7d --listen $port --ready fd:4 -- hello socket"
    run "get /"
    before=$(<run/hello.pid)
    shows "hello from process $before,"

    say "A new version takes its place: the old one is stopped when the new one is ready."
    run "vsrun --replace run/hello.pid"
    run "get /"
    after=$(<run/hello.pid)
    shows "hello from process $after,"
    [[ $after != "$before" ]] || fail "the same server still runs"

    say "A new version that does not work: the old server goes on, and the reason is known."
    run "ln -sf /bin/false bin/hello"
    run "vsrun --replace run/hello.pid" 125
    shows "cannot replace run/hello.pid: the new server exited with status 1"
    run "get /"
    shows "hello from process $after,"
    ln -sf "$hello" bin/hello
    stop run/hello.pid
}

jail() {
    say "As root: the server runs as user 65534, in a directory that it cannot leave."
    run "mkdir jail && cp bin/hello jail/"
    run "vsrun -b -u 65534:65534 -r jail -m run/jail.pid - -d jail.log 7d -- /hello $port"
    await "a response" answers
    run "get /"
    shows ", user 65534, in /"
    stop run/jail.pid
}

stop() {
    run "vsrun --stop $1"
    [[ -z $(ls run) ]] || fail "a pidfile is left"
    ! answers || fail "the server still responds"
}

# Prints a command, runs it, and prints its output; it must exit with this status, or 0.
run() {
    echo "\$ $1"
    local status=0
    eval "$1" >out 2>&1 || status=$?
    cat out
    ((status == ${2-0})) || fail "that exited with status $status"
    sleep "${DEMO_PAUSE-0}"
}

# Fails unless the last command's output contains this text.
shows() {
    [[ $(<out) == *"$1"* ]] || fail "no \"$1\" in the output"
}

# Waits until a condition holds, for ten seconds at most.
await() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        "$@" && return
        sleep 0.05
    done
    fail "$what did not come"
}

answers() {
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

restarted_since() {
    local now
    now=$(cat run/hello.pid)
    [[ -n $now && $now != "$1" ]] && answers
}

# One HTTP request, made by the shell itself: prints the last line of the response. A server that crashes sends none.
get() {
    local line last=
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&9
    while read -r line; do last=$line; done <&9
    exec 9>&-
    echo "${last:-(no response)}"
}

find_port() {
    port=${DEMO_PORT-}
    [[ -z $port ]] || return 0
    for port in $((RANDOM % 20000 + 20000)) $((RANDOM % 20000 + 20000)) $((RANDOM % 20000 + 20000)); do
        answers || return 0
    done
    fail "no free port found"
}

say() {
    printf '\n# %s\n' "$1"
}

fail() {
    echo "demo: $1" >&2
    tail -n 20 ./*log/vsrun.log >&2 2>/dev/null || true
    exit 1
}

clean_up() {
    local pidfile
    for pidfile in "$place"/run/*.pid; do
        "$vsrun" --stop "$pidfile" 2>/dev/null || true
    done
    rm -rf "$place"
}

main

#!/bin/bash
# What vsrun does, shown with a small server: `examples/demo.sh VSRUN HELLO` (`make demo` builds both).
#
# Each command is printed and run, and its effect is checked. If an effect is missing, the demo ends with an error. All
# files are in a temporary directory. The demo needs bash and coreutils, but not root; as root it also shows a jail. For
# a recording, DEMO_PAUSE is the number of seconds to wait after each command, and DEMO_DIRECTORY and DEMO_PORT replace
# the directory and the port that are chosen by default.
set -euo pipefail
vsrun=$(realpath "$1") hello=$(realpath "$2")

directory=${DEMO_DIRECTORY-}
if [[ -n $directory ]]; then mkdir "$directory"; else directory=$(mktemp -d "${TMPDIR:-/tmp}/vsrun-demo.XXXXXX"); fi
trap clean_up EXIT
cd "$directory"
chmod 755 .        # the user of the jailed server must be able to enter it
ulimit -c 0        # the crash is on purpose: no core files
mkdir bin run
ln -s "$vsrun" bin/vsrun
ln -s "$hello" bin/hello
PATH=$directory/bin:$PATH
cat >bin/crashed <<'HANDLER'
#!/bin/sh
# A handler may send mail, count crashes, or refuse the restart with a status other than 0. This one prints two
# variables.
env | grep -E '^VSRUN_SERVER_(EXPLAIN|UPTIME)=' | sort
HANDLER
chmod +x bin/crashed

# shellcheck disable=SC2016 # `run` prints the command, and then expands it
main() {
    find_port

    say "A server in the background: restarted after a crash, output in files for 7 days."
    run "vsrun -b -p run/hello.pid -m run/manager.pid bin/crashed -d log 7d -- hello $port"
    await "a response" accepts_connections
    run "get /"
    expect_output "hello from process $(<run/hello.pid),"
    run "vsrun --status run/hello.pid"
    expect_output "running: pid $(<run/hello.pid)"

    say "It crashes. The handler gets the reason, and allows a restart with exit status 0."
    local before
    before=$(<run/hello.pid)
    run "get /crash"
    await "the restarted server" restarted_since "$before"
    run "cut -c 26- log/vsrun.log"
    expect_output "VSRUN_SERVER_EXPLAIN=killed by signal 11"
    expect_output "pid $before"
    run "get /"
    expect_output "hello from process $(<run/hello.pid),"

    say "HUP to the manager: a restart with new log files. The old ones are renamed."
    before=$(<run/hello.pid)
    run "vsrun --signal HUP run/manager.pid"
    await "the restarted server" restarted_since "$before"
    run "echo log/*"
    expect_output "log/logfile log/logfile.1 log/vsrun.log log/vsrun.log.1"
    grep -q "GET /crash" log/logfile.1 || fail "the request is not in log/logfile.1"

    say "Stop: the command returns when server and manager have exited. Nothing is left."
    stop run/hello.pid

    say "What would go wrong? A dry run reports it, and changes nothing."
    run "vsrun --check -p nowhere/pid --limit nofiles=10 -- hello $port" 2
    expect_output "did you mean nofile?"
    run "vsrun --check -p nowhere/pid -- helo $port" 125
    expect_output "helo"
    deployment
    if [[ $EUID -eq 0 ]]; then
        jail
    fi
    say "That was vsrun. More: vsrun -h, vsrun --help, man vsrun"
}

deployment() {
    local before after
    say "The server on a socket that vsrun opens. It reports on descriptor 4 that it is ready."
    run "vsrun -b -p run/hello.pid -m - - -d log 7d --listen $port --ready fd:4 -- hello socket"
    run "get /"
    before=$(<run/hello.pid)
    expect_output "hello from process $before,"

    say "A new version takes its place: the old one is stopped when the new one is ready."
    run "vsrun --replace run/hello.pid"
    run "get /"
    after=$(<run/hello.pid)
    expect_output "hello from process $after,"
    [[ $after != "$before" ]] || fail "the same server still runs"

    say "A new version that does not work: the old server continues. The reason is printed."
    run "ln -sf /bin/false bin/hello"
    run "vsrun --replace run/hello.pid" 125
    expect_output "cannot replace the server of run/hello.pid: the new server exited with status 1"
    run "get /"
    expect_output "hello from process $after,"
    ln -sf "$hello" bin/hello
    stop run/hello.pid
}

jail() {
    say "As root: the server runs as user 65534, in a directory that it cannot leave."
    run "mkdir jail && cp bin/hello jail/"
    run "vsrun -b -u 65534:65534 -r jail -m run/jail.pid - -d jail.log 7d -- /hello $port"
    await "a response" accepts_connections
    run "get /"
    expect_output ", user 65534, in /"
    stop run/jail.pid
}

stop() {
    run "vsrun --stop $1"
    [[ -z $(ls run) ]] || fail "a pidfile is left"
    ! accepts_connections || fail "the server still responds"
}

# Prints a command, runs it, and prints its output; it must exit with this status, or 0.
run() {
    echo "\$ $1"
    local status=0
    eval "$1" >out 2>&1 || status=$?
    cat out
    ((status == ${2-0})) || fail "the command exited with status $status, expected ${2-0}"
    sleep "${DEMO_PAUSE-0}"
}

# Fails unless the last command's output contains this text.
expect_output() {
    [[ $(<out) == *"$1"* ]] || fail "the output does not contain \"$1\""
}

# await DESCRIPTION CONDITION...: waits at most ten seconds until this command succeeds.
await() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        "$@" && return
        sleep 0.05
    done
    fail "$what did not appear within ten seconds"
}

# Succeeds if a process accepts connections on the port.
accepts_connections() {
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

# Succeeds if a server with another pid than this one serves.
restarted_since() {
    local pid
    pid=$(cat run/hello.pid)
    [[ -n $pid && $pid != "$1" ]] && accepts_connections
}

# Sends an HTTP request, without another program, and prints the last line of the response. A server that crashes sends
# none.
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
        accepts_connections || return 0
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
    for pidfile in "$directory"/run/*.pid; do
        "$vsrun" --stop "$pidfile" 2>/dev/null || true
    done
    rm -rf "$directory"
}

main

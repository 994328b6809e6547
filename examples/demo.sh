#!/bin/bash
# What vsrun does, shown on a small server: `examples/demo.sh VSRUN HELLO` (`make demo` builds both).
#
# Each command is printed and then run; what it does is checked, and the first thing that is not as it says ends the
# demo with an error. Everything happens in a temporary directory. Needs bash and coreutils, and no root; root sees
# the jail as well.
set -euo pipefail
vsrun=$(realpath "$1") hello=$(realpath "$2")

place=$(mktemp -d "${TMPDIR:-/tmp}/vsrun-demo.XXXXXX")
trap clean_up EXIT
cd "$place"
chmod 755 .        # the jailed server's handler has to get here
ulimit -c 0        # the crash is on purpose: no core files
mkdir bin run
ln -s "$vsrun" bin/vsrun
ln -s "$hello" bin/hello
PATH=$place/bin:$PATH
cat >bin/died <<'HANDLER'
#!/bin/sh
# Mail it to somebody, count it, refuse by another exit status. Here: some of what vsrun tells.
env | grep -E '^VSRUN_SERVER_(COMMAND|PID|EXPLAIN|UPTIME|RESTARTS)=' | sort
HANDLER
chmod +x bin/died

# shellcheck disable=SC2016 # `run` expands what it has shown
main() {
    find_port

    say "A server in the background: with a pidfile, a manager that keeps it alive, and its output in files for 7 days."
    run "vsrun -b -p run/hello.pid -m run/manager.pid $place/bin/died -d log 7d -- hello $port"
    await "an answer" answers
    run "get /"
    shows "hello from process $(<run/hello.pid),"

    say "It crashes. The handler hears how, in its environment (this one prints it), and exits 0: go on."
    local before
    before=$(<run/hello.pid)
    run "get /crash"
    await "a new life" restarted_since "$before"
    run "cat log/vsrun.log"
    shows "VSRUN_SERVER_EXPLAIN=killed by signal 11"
    shows "VSRUN_SERVER_PID=$before"
    run "get /"
    shows "hello from process $(<run/hello.pid),"

    say "HUP: a restart with new log files. The old ones keep their story."
    before=$(<run/hello.pid)
    run 'kill -HUP $(cat run/manager.pid)'
    await "a new life" restarted_since "$before"
    run "echo log/*"
    shows "log/logfile log/logfile.1 log/vsrun.log log/vsrun.log.1"
    run "cat log/logfile.1"
    shows "GET /crash"

    say "TERM: the server ends, then the manager, and nothing is left."
    stop
    deployment
    if [[ $EUID -eq 0 ]]; then
        jail
    fi
    say "That was vsrun, $(stat -c %s "$vsrun") bytes. More: vsrun --help, man vsrun"
}

deployment() {
    local before after
    say "The server with a socket of vsrun's. It reports on descriptor 4 that it is ready."
    run "vsrun -b -p run/hello.pid -m run/manager.pid - -d log 7d --listen 127.0.0.1:$port --ready fd:4 -- $place/bin/hello socket"
    run "get /"
    before=$(<run/hello.pid)
    shows "hello from process $before,"

    say "A new version takes its place. It starts beside the old one, which is stopped when the new one is ready."
    run "vsrun --replace run/hello.pid"
    run "get /"
    after=$(<run/hello.pid)
    shows "hello from process $after,"
    [[ $after != "$before" ]] || fail "the same server still runs"

    say "A new version that does not work: the old server goes on, and the reason is known."
    run "ln -sf $(type -P false) bin/hello"
    run "! vsrun --replace run/hello.pid"
    shows "cannot replace run/hello.pid: the new server exited with status 1"
    run "get /"
    shows "hello from process $after,"
    run "ln -sf $hello bin/hello"
    stop
}

jail() {
    say "As root: the same server as nobody, in a directory that holds only itself and that it cannot leave."
    mkdir jail
    cp "$hello" jail/hello
    run "vsrun -u 65534:65534 -r jail -b -p run/hello.pid -m run/manager.pid - -d jail.log 7d -- /hello $port"
    await "an answer" answers
    run "get /"
    shows "hello from process $(<run/hello.pid), user 65534, in /"
    stop
}

# shellcheck disable=SC2016
stop() {
    run 'kill -TERM $(cat run/manager.pid)'
    await "the end" nothing_left
    run "ls run"
    ! answers || fail "the server still answers"
}

# Prints a command, runs it, and prints what came out.
run() {
    echo "\$ $1"
    local status=0
    eval "$1" >out 2>&1 || status=$?
    cat out
    ((status == 0)) || fail "that ended with status $status"
}

# Fails unless the last command's output has this in it.
shows() {
    [[ $(<out) == *"$1"* ]] || fail "no \"$1\" in what came out"
}

# Asks until a condition holds, for ten seconds.
await() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        "$@" && return
        sleep 0.05
    done
    fail "waited in vain for $what"
}

answers() {
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

restarted_since() {
    local now
    now=$(cat run/hello.pid)
    [[ -n $now && $now != "$1" ]] && answers
}

nothing_left() {
    [[ -z $(ls run) ]]
}

# A request of HTTP, by the shell's own means: prints the answer's last line. A server that crashes answers nothing.
get() {
    local line last=
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&9
    while read -r line; do last=$line; done <&9
    exec 9>&-
    echo "${last:-(no answer)}"
}

find_port() {
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
    local manager
    if manager=$(cat "$place/run/manager.pid" 2>/dev/null) && [[ -n $manager ]]; then
        kill -TERM "$manager" || true
        for ((tries = 0; tries < 100; tries++)); do
            kill -0 "$manager" 2>/dev/null || break
            sleep 0.05
        done
    fi
    rm -rf "$place"
}

main

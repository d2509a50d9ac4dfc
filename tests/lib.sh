# Sourced by the suites of shell: how they check and report. Gives the folder $work, which is removed at the end.
# shellcheck shell=bash disable=SC2148

work=$(mktemp -d)
passed=0
cleanup() { rm -rf -- "$work"; }
trap 'cleanup' EXIT

# What is shown beside a failure; suites with more to show redefine it.
show_logs() { :; }
failed() {
    echo "FAILED: $*" >&2
    show_logs >&2 || true
    exit 1
}
trap 'failed "line $LINENO: $BASH_COMMAND"' ERR
ok() { passed=$((passed + 1)); echo "ok: $* (${SECONDS}s)"; }
finish() { echo "$passed passed, 0 failed"; }

# until_ok WHAT CMD...: runs a command until it succeeds, for 30 s.
until_ok() {
    local what=$1 end=$((SECONDS + 30)); shift
    until "$@" >"$work/last" 2>&1; do
        (( SECONDS < end )) || { cat "$work/last" >&2; failed "$what"; }
        sleep 0.2 # between two looks at the condition
    done
}
# has TEXT CMD...: TEXT is in what the command prints.
has() { "${@:2}" | grep -- "$1" >/dev/null; } # not -q: it would end the pipe under the command

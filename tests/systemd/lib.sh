# Sourced by the suites of this folder: how they check and report.
# shellcheck shell=bash disable=SC2148

box=$(dirname "${BASH_SOURCE[0]}")/box.sh
work=$(mktemp -d)
passed=0

failed() {
    echo "FAILED: $*" >&2
    show_logs >&2 || true
    exit 1
}
trap 'failed "line $LINENO: $BASH_COMMAND"' ERR
ok() { passed=$((passed + 1)); echo "ok: $*"; }

# in_box NAME CMD...: as root; as_in NAME USER CMD...: as that user.
in_box() { SYSTEMD_BOX_NAME=$1 "$box" exec "${@:2}" </dev/null; }
as_in() { SYSTEMD_BOX_NAME=$1 "$box" as "${@:2}" </dev/null; }

# Runs a command until it succeeds, for 30 s.
until_ok() {
    local what=$1 end=$((SECONDS + 30)); shift
    until "$@" >"$work/last" 2>&1; do
        (( SECONDS < end )) || { cat "$work/last" >&2; failed "$what"; }
        sleep 0.2 # between two looks at the condition
    done
}
has() { "${@:2}" | grep -- "$1" >/dev/null; } # not -q: it would end the pipe under the command

# service NAME PROPERTY OF: a property of a unit in a box.
property() { in_box "$1" systemctl show -p "$2" --value "$3"; }

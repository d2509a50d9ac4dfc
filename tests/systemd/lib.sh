# Sourced by the suites of this folder: tests/lib.sh, and what has to do with boxes.
# shellcheck shell=bash disable=SC2148

# shellcheck source=tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
box=$(dirname "${BASH_SOURCE[0]}")/box.sh

# in_box NAME CMD...: as root; as_in NAME USER CMD...: as that user.
in_box() { SYSTEMD_BOX_NAME=$1 "$box" exec "${@:2}" </dev/null; }
as_in() { SYSTEMD_BOX_NAME=$1 "$box" as "${@:2}" </dev/null; }

# property NAME PROPERTY UNIT: a property of a unit in a box.
property() { in_box "$1" systemctl show -p "$2" --value "$3"; }

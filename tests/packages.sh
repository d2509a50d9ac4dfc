#!/usr/bin/env bash
# What can be said of the packages without installing them: lintian, the manual pages, the completions, the contents.
#
#   tests/packages.sh [FOLDER WITH THE PACKAGES]     (default: target/packages, as packaging/build.sh leaves them)
#
# Needs lintian, mandoc, man-db, groff, rpm, bash, zsh, fish.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
packages=$(cd "${1:-${CARGO_TARGET_DIR:-$here/target}/packages}" && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'echo "FAILED: line $LINENO: $BASH_COMMAND" >&2' ERR
passed=0
ok() { passed=$((passed + 1)); echo "ok: $*"; }
failed() { echo "FAILED: $*" >&2; exit 1; }

(cd "$packages" && sha256sum --quiet -c SHA256SUMS)
lintian --allow-root --fail-on error,warning "$packages"/*.deb
ok "lintian is content with the .deb packages, overrides with their reasons aside"

for deb in "$packages"/*.deb; do dpkg-deb -x "$deb" "$work/deb"; done
for rpm in "$packages"/*.rpm; do rpm2cpio "$rpm" | (mkdir -p "$work/rpm" && cd "$work/rpm" && cpio -idm --quiet); done
files() { (cd "$1" && find . -type f ! -path './usr/share/doc/*' ! -path './usr/share/lintian/*' | LC_ALL=C sort); }
diff <(files "$work/deb") <(files "$work/rpm")
diff -r "$work/deb/usr/bin" "$work/rpm/usr/bin"
ok "the .rpm packages hold the same files as the .deb packages"

pages=0
for page in "$work"/deb/usr/share/man/man*/*.gz; do
    gzip -dc "$page" >"$work/page"
    said=$(mandoc -Tlint -W warning "$work/page" 2>&1; LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$work/page" 2>&1 >/dev/null) || true
    [[ -z $said ]] || failed "${page##*/}: $said"
    pages=$((pages + 1))
done
# Every command that the help lists has its page.
for command in $("$work/deb/usr/bin/p2pctl" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  .*/\1/p'); do
    [[ -e $work/deb/usr/share/man/man1/p2pctl-$command.1.gz ]] || failed "no page of p2pctl $command"
done
ok "$pages manual pages render without a warning"

share=$work/deb/usr/share
[[ $(bash -c 'source "$1"; complete -p p2pctl' sh "$share/bash-completion/completions/p2pctl") == *p2pctl* ]]
[[ $(zsh -f -c 'fpath=("$1" $fpath); autoload -U compinit; compinit -D -u; echo ${_comps[p2pctl]}; autoload +X _p2pctl' sh "$share/zsh/site-functions") == _p2pctl* ]]
# shellcheck disable=SC2016 # the argument is fish's
[[ $(fish --no-config -c 'source $argv[1]; complete -C "p2pctl unpub"' "$share/fish/vendor_completions.d/p2pctl.fish") == unpublish* ]]
ok "the completions load in bash, zsh and fish"

tar -C "$work" -xf "$packages"/p2p-*-static.tar.xz
for program in p2pd p2pctl p2p-tracker; do
    # In a root of its own, where there is no library: what is not static does not start.
    mkdir -p "$work/root"
    cp "$work"/p2p-*-static/bin/$program "$work/root/"
    chroot "$work/root" "/$program" --help >/dev/null
done
archive=$(echo "$work"/p2p-*-static)
HOME=$work/home BINARIES=$archive/bin "$archive/packaging/install.sh" --user >/dev/null
[[ -x $work/home/.local/bin/p2pd && -e $work/home/.config/systemd/user/p2pd.service ]]
ok "the programs of the archive start where there is no library, and install without root"

echo "$passed passed, 0 failed"

#!/usr/bin/env bash
# What can be said of the packages without installing them: lintian, the manual pages, the completions, the contents.
#
#   tests/packages.sh [FOLDER WITH THE PACKAGES]     (default: target/packages, as packaging/build.sh leaves them)
#
# Needs lintian, mandoc, man-db, groff, rpm, bash, zsh, fish.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
packages=$(cd "${1:-${CARGO_TARGET_DIR:-$here/target}/packages}" && pwd)
# shellcheck source=tests/lib.sh
. "$here/tests/lib.sh"

(cd "$packages" && sha256sum --quiet -c SHA256SUMS)
lintian --allow-root --fail-on error,warning "$packages"/*.deb
ok "lintian is content with the .deb packages, overrides with their reasons aside"

for deb in "$packages"/*.deb; do dpkg-deb -x "$deb" "$work/deb"; done
for rpm in "$packages"/*.rpm; do rpm2cpio "$rpm" | (mkdir -p "$work/rpm" && cd "$work/rpm" && cpio -idm --quiet); done
files() { (cd "$1" && find . -type f ! -path './usr/share/doc/*' ! -path './usr/share/lintian/*' | LC_ALL=C sort); }
diff <(files "$work/deb") <(files "$work/rpm")
diff -r "$work/deb/usr/bin" "$work/rpm/usr/bin"
ok "the .rpm packages hold the same files as the .deb packages"

# What README.md and the programs send readers to.
named=$(cd "$here" && grep -ohE 'docs/[a-z0-9-]+\.md' README.md $(git ls-files '*/src/*.rs') | sort -u)
for name in p2pd p2p-tracker; do
    for file in README.md $named; do [[ -s $work/deb/usr/share/doc/$name/$file ]] || failed "$name has no $file"; done
done
ok "what to read is in the packages: $(tr '\n' ' ' <<<"$named")"

pages=0
for page in "$work"/deb/usr/share/man/man*/*.gz; do
    # Under its own name: mandoc compares the section with what stands behind the last dot of the path.
    plain=$work/$(basename "$page" .gz)
    gzip -dc "$page" >"$plain"
    said=$(mandoc -Tlint -W warning "$plain" 2>&1; LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$plain" 2>&1 >/dev/null) || true
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

# A root of its own over this machine's, so that scripts find what they call; with a database of packages of its own.
# shellcheck disable=SC2016 # expanded inside
unshare --mount --propagation private bash -Eeuo pipefail -c '
    trap "echo \"line \$LINENO: \$BASH_COMMAND\" >&2" ERR
    packages=$1 layers=$2 root=$2/root
    mkdir "$layers"; mount -t tmpfs layers "$layers"; mkdir "$layers"/{upper,work,root}
    mount -t overlay root -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root"
    mount -t proc proc "$root/proc"
    by_rpm() { rpm --root "$root" --dbpath /var/lib/rpm-of-the-test "$@"; }
    by_rpm --initdb
    # What is here came by another way than rpm, so it knows of nothing that a package could depend on.
    by_rpm -i --nodeps "$packages"/*.rpm
    by_rpm -V --nodeps p2pd p2p-tracker
    for unit in p2p-tracker.service p2pd.service p2pd.socket; do
        said=$(chroot "$root" systemd-analyze verify --man=no /usr/lib/systemd/system/$unit 2>&1 | grep -E "p2p(d|-tracker)\\." || true)
        [[ -z $said ]] || { echo "$said" >&2; exit 1; }
    done
    chroot "$root" getent passwd p2pd p2p-tracker >/dev/null
    [[ $(chroot "$root" stat -c "%a %U %G" /srv/p2p) == "2775 root p2p" ]]
    [[ $(chroot "$root" p2pctl --version) == p2pctl* ]]
    chroot "$root" p2p-tracker config check >/dev/null
    echo "[tracker]" >"$root/etc/p2p/p2p-tracker.toml"
    by_rpm -i --nodeps --replacepkgs "$packages"/*.rpm
    [[ $(cat "$root/etc/p2p/p2p-tracker.toml") == "[tracker]" ]]
    by_rpm -e p2pd p2p-tracker 2>/dev/null
    left=$(cd "$root" && find usr etc/p2p -newer "$layers" -name "*p2p*" -type f)
    [[ $left == etc/p2p/p2p-tracker.toml.rpmsave ]] || { echo "left: $left" >&2; exit 1; }
' sh "$packages" "$work/layers"
ok "the .rpm packages install into a root: files, users, units; a changed configuration outlives them, nothing else does"

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
[[ -x $work/home/.local/share/doc/p2pd/examples/hooks/pre-release-clamd ]]
ok "the programs of the archive start where there is no library, and install without root"
"$here/tests/containers.sh" "$archive"

finish

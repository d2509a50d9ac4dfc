#!/bin/sh
# Builds p2p from this checkout and installs it on this machine.
#
#   packaging/install.sh            for the whole machine: programs, units, users, manual pages; asks for root by sudo
#   packaging/install.sh --user     for this user alone: programs in ~/.local/bin, the user unit; needs no root
#   packaging/install.sh --remove   takes away what the first form installed; configuration, state and data stay
#   packaging/install.sh --remove --user   the same for the second form
#
# Environment: DESTDIR (stage below this folder; nothing is started or created outside of it), CARGO (the cargo to build with),
# BINARIES (a folder with the three programs: install these instead of building).
set -eu

here=$(cd -- "$(dirname -- "$0")/.." && pwd)
dest=${DESTDIR:-}
programs='p2pd p2pctl p2p-tracker'

say() { printf '%s\n' "install.sh: $*"; }
die() { printf '%s\n' "install.sh: $*" >&2; exit 1; }

# Runs a command as root: directly, or through sudo; staging needs no root.
as_root() {
    if [ -n "$dest" ] || [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

build() {
    out=${BINARIES:-}
    [ -z "$out" ] || return 0
    say "building (a few minutes the first time)"
    (cd "$here" && "${CARGO:-cargo}" build --release --locked -p p2pd -p p2pctl -p p2p-tracker --bins)
    out=${CARGO_TARGET_DIR:-$here/target}/release
}

# What the programs write of themselves, below $stage: manual pages, completions, configuration files with every key commented out.
generate() {
    stage=$(mktemp -d)
    trap 'rm -rf -- "$stage"' EXIT
    mkdir "$stage/man" "$stage/etc"
    for program in $programs; do "$out/$program" man "$stage/man"; done
    "$out/p2pctl" completions bash >"$stage/p2pctl"
    "$out/p2pctl" completions zsh >"$stage/_p2pctl"
    "$out/p2pctl" completions fish >"$stage/p2pctl.fish"
    "$out/p2pd" --system config defaults >"$stage/etc/p2pd.toml"
    "$out/p2p-tracker" config defaults >"$stage/etc/p2p-tracker.toml"
}

# $1: the share folder; $2: as_root or nothing
shared() {
    for page in "$stage"/man/*; do
        $2 install -D -m 0644 "$page" "$1/man/man${page##*.}/${page##*/}"
    done
    $2 install -D -m 0644 "$stage/p2pctl" "$1/bash-completion/completions/p2pctl"
    $2 install -D -m 0644 "$stage/_p2pctl" "$1/zsh/site-functions/_p2pctl"
    $2 install -D -m 0644 "$stage/p2pctl.fish" "$1/fish/vendor_completions.d/p2pctl.fish"
}

# What to read, where README.md and messages say it is; examples of hooks, of drop-ins for units and so on.
# $1: the share folder; $2: as_root or nothing; $3: p2pd or p2p-tracker
documents() {
    for file in "$here/README.md" "$here/CHANGELOG.md" "$here"/docs/*.md; do
        $2 install -D -m 0644 "$file" "$1/doc/$3/${file#"$here"/}"
    done
    for file in "$here/packaging/examples/$3"/*; do
        $2 install -D -m 0644 "$file" "$1/doc/$3/examples/${file##*/}"
    done
    [ "$3" = p2pd ] || return 0
    for file in "$here"/packaging/examples/hooks/*; do
        $2 install -D -m 0755 "$file" "$1/doc/p2pd/examples/hooks/${file##*/}"
    done
}

install_system() {
    build
    generate
    for program in $programs; do
        as_root install -D -m 0755 "$out/$program" "$dest/usr/bin/$program"
    done
    for unit in p2p-tracker.service p2pd.service p2pd.socket; do
        as_root install -D -m 0644 "$here/systemd/$unit" "$dest/usr/lib/systemd/system/$unit"
    done
    as_root install -D -m 0644 "$here/systemd/user/p2pd.service" "$dest/usr/lib/systemd/user/p2pd.service"
    for name in p2pd p2p-tracker; do
        as_root install -D -m 0644 "$here/systemd/$name.sysusers" "$dest/usr/lib/sysusers.d/$name.conf"
        documents "$dest/usr/share" as_root "$name"
        # What an administrator wrote stays.
        [ -e "$dest/etc/p2p/$name.toml" ] || as_root install -D -m 0644 "$stage/etc/$name.toml" "$dest/etc/p2p/$name.toml"
    done
    as_root install -D -m 0644 "$here/systemd/p2pd.tmpfiles" "$dest/usr/lib/tmpfiles.d/p2pd.conf"
    shared "$dest/usr/share" as_root
    [ -z "$dest" ] || return 0
    if command -v systemd-sysusers >/dev/null; then
        as_root systemd-sysusers p2pd.conf p2p-tracker.conf
        as_root systemd-tmpfiles --create p2pd.conf
    fi
    if [ -d /run/systemd/system ]; then
        as_root systemctl daemon-reload
        # An upgrade: what runs of the old programs is started anew.
        as_root systemctl try-restart p2p-tracker.service p2pd.service
        say "p2pd that run for single users go on with the old program until each of them runs: systemctl --user restart p2pd"
    fi
    say "installed. Next:"
    say "  sudo systemctl enable --now p2p-tracker    (on the machine that keeps the accounts)"
    say "  systemctl --user enable --now p2pd         (on every machine, as the user who shares and fetches)"
}

install_user() {
    build
    generate
    bin=$dest$HOME/.local/bin
    for program in p2pd p2pctl; do install -D -m 0755 "$out/$program" "$bin/$program"; done
    unit=$dest${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/p2pd.service
    install -d "${unit%/*}"
    # %h: the home of the unit's user, whatever is in its name.
    sed "s|/usr/bin/p2pd|%h/.local/bin/p2pd|" "$here/systemd/user/p2pd.service" >"$unit"
    rm -f "$stage"/man/p2p-tracker*
    data=$dest${XDG_DATA_HOME:-$HOME/.local/share}
    shared "$data" ''
    documents "$data" '' p2pd
    say "installed in $bin"
    case ":$PATH:" in *":$HOME/.local/bin:"*) ;; *) say "add it to your PATH: export PATH=\"\$HOME/.local/bin:\$PATH\"" ;; esac
    if [ -z "$dest" ] && systemctl --user daemon-reload 2>/dev/null; then
        systemctl --user try-restart p2pd.service
        say "next: systemctl --user enable --now p2pd"
    else
        say "next: p2pctl daemon start"
    fi
}

remove() {
    if [ -z "$dest" ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --now p2p-tracker.service p2pd.service p2pd.socket 2>/dev/null || true
    fi
    for program in $programs; do as_root rm -f -- "$dest/usr/bin/$program"; done
    as_root rm -f -- "$dest/usr/lib/systemd/system/p2p-tracker.service" "$dest/usr/lib/systemd/system/p2pd.service" \
        "$dest/usr/lib/systemd/system/p2pd.socket" "$dest/usr/lib/systemd/user/p2pd.service" \
        "$dest/usr/lib/sysusers.d/p2pd.conf" "$dest/usr/lib/sysusers.d/p2p-tracker.conf" "$dest/usr/lib/tmpfiles.d/p2pd.conf" \
        "$dest/usr/share/bash-completion/completions/p2pctl" "$dest/usr/share/zsh/site-functions/_p2pctl" \
        "$dest/usr/share/fish/vendor_completions.d/p2pctl.fish"
    as_root rm -rf -- "$dest/usr/share/doc/p2pd" "$dest/usr/share/doc/p2p-tracker"
    for page in p2pd p2pctl p2p-tracker; do
        as_root rm -f -- "$dest/usr/share/man/man1/$page.1" "$dest/usr/share/man/man1/$page"-*.1 "$dest/usr/share/man/man5/$page.toml.5"
    done
    as_root rm -f -- "$dest/usr/share/man/man5/p2pd-hooks.5" "$dest/usr/share/man/man5/p2pignore.5"
    say "removed; /etc/p2p, /var/lib/p2pd, /var/lib/p2p-tracker and /srv/p2p stay"
}

remove_user() {
    [ -n "$dest" ] || systemctl --user disable --now p2pd.service 2>/dev/null || true
    data=$dest${XDG_DATA_HOME:-$HOME/.local/share}
    rm -f -- "$dest$HOME/.local/bin/p2pd" "$dest$HOME/.local/bin/p2pctl" "$dest${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/p2pd.service" \
        "$data/bash-completion/completions/p2pctl" "$data/zsh/site-functions/_p2pctl" "$data/fish/vendor_completions.d/p2pctl.fish"
    for page in p2pd p2pctl; do
        rm -f -- "$data/man/man1/$page.1" "$data/man/man1/$page"-*.1 "$data/man/man5/$page.toml.5"
    done
    rm -f -- "$data/man/man5/p2pd-hooks.5" "$data/man/man5/p2pignore.5"
    rm -rf -- "$data/doc/p2pd"
    say "removed; ~/.config/p2p, ~/.local/state/p2p and what was fetched stay"
}

case "$*" in
    '') install_system ;;
    '--remove --user' | '--user --remove') remove_user ;;
    --user) install_user ;;
    --remove) remove ;;
    *) die "unknown arguments '$*'; see the head of this file" ;;
esac

#!/usr/bin/env bash
# What people install, in two booted systemds with a network between them: install, first use, power cut, upgrade, reboot, hardening, purge.
#
#   tests/systemd/packages.sh [FOLDER WITH THE PACKAGES]     (default: target/packages, as packaging/build.sh leaves them)
#
# Needs root, systemd-container, debootstrap, e2fsprogs, iproute2, perl. Boots two throw-away boxes of its own.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
packages=$(cd "${1:-${CARGO_TARGET_DIR:-$here/target}/packages}" && pwd)
export SYSTEMD_BOX_NET=veth
# shellcheck source=tests/systemd/lib.sh
. "$here/tests/systemd/lib.sh"
# shellcheck source=tests/systemd/hardening.sh
. "$here/tests/systemd/hardening.sh"

# The tracker and the user who shares; the machine that fetches.
home=p2p-home nas=p2p-nas
each_box() { local name; for name in $home $nas; do SYSTEMD_BOX_NAME=$name "$box" "$@"; done; }
cleanup() { each_box destroy >/dev/null 2>&1 || true; rm -rf -- "$work"; }
show_logs() {
    in_box $home journalctl -n 40 --no-pager -o short-precise -u p2p-tracker -u user@1000
    in_box $nas journalctl -n 40 --no-pager -o short-precise -u p2pd
}
home() { in_box $home "$@"; }
nas() { in_box $nas "$@"; }
ann() { as_in $home ann "$@"; }
same() { [[ $(nas sha1sum "/srv/p2p/$1" | cut -d' ' -f1) == "$(home sha1sum "/home/ann/Public/$1" | cut -d' ' -f1)" ]]; }

tracker='http://[fd5d:b1::1]:6969'

# The package $1 as a version before it, to upgrade from: equal in all but its number.
older() {
    dpkg-deb -R "$1" "$work/old"
    sed -i 's/^Version: .*/Version: 0.0.1-1/' "$work/old/DEBIAN/control"
    dpkg-deb -b "$work/old" "$work/old-${1##*/}" >/dev/null
    rm -rf -- "$work/old"
}

each_box destroy >/dev/null 2>&1 || true
each_box create
each_box boot >/dev/null
cable $home $nas
for package in p2pd p2p-tracker; do
    file=$(echo "$packages/$package"_*.deb)
    older "$file"
    for name in $home $nas; do
        SYSTEMD_BOX_NAME=$name "$box" copy "$file" /opt/new/
        SYSTEMD_BOX_NAME=$name "$box" copy "$work/old-${file##*/}" /opt/old/
    done
done
home sh -c 'dpkg -i /opt/old/*.deb' >/dev/null
nas sh -c 'dpkg -i /opt/old/*p2pd*.deb' >/dev/null
for unit in p2p-tracker.service p2pd.service p2pd.socket; do
    [[ $(property $home ActiveState $unit) == inactive ]] || failed "$unit runs before anybody asked for it"
done
[[ $(home stat -c '%a %U %G' /srv/p2p) == '2775 root p2p' ]] || failed "/srv/p2p is not the group's"
for name in p2pd p2p-tracker; do
    home grep -q '^# ' /etc/p2p/$name.toml
    if home grep -E '^[^#[]' /etc/p2p/$name.toml; then failed "a key of $name.toml is not commented out"; fi
done
ok "the packages install, and start nothing by themselves"

units=/usr/lib/systemd
home systemd-analyze verify --man=no $units/system/p2p-tracker.service $units/system/p2pd.service $units/system/p2pd.socket >"$work/verify" 2>&1 || true
home systemd-analyze verify --man=no --user $units/user/p2pd.service >>"$work/verify" 2>&1 || true
if grep -E 'p2p(d|-tracker)\.' "$work/verify" >&2; then failed "systemd-analyze verify"; fi
home systemd-analyze security --no-pager --threshold=15 p2p-tracker.service >"$work/score" || { tail -n 3 "$work/score" >&2; failed "the score of p2p-tracker"; }
nas systemd-analyze security --no-pager --threshold=20 p2pd.service >"$work/score" || { tail -n 3 "$work/score" >&2; failed "the score of p2pd"; }
ok "the units are clean, and score at most 1.5 and 2.0"

home sh -c 'umask 077; echo "correct horse battery staple" >/root/password; cp /root/password /opt/password.ann'
nas sh -c 'umask 077; echo "correct horse battery staple" >/root/password'
home systemctl start p2p-tracker
[[ $(property $home StatusText p2p-tracker) == *6969* ]] || failed "p2p-tracker has no status"
home p2p-tracker invite -n 2 >"$work/invitations"
home useradd -m ann
home loginctl enable-linger ann
home chown ann /opt/password.ann
until_ok "ann's service manager" ann systemctl --user is-system-running --wait
ann systemctl --user enable --now p2pd
ann p2pctl tracker add home "$tracker"
SYSTEMD_BOX_NAME=$home "$box" exec sh -c 'umask 077; cat >/opt/invite && chown ann /opt/invite' < <(sed -n 1p "$work/invitations")
ann p2pctl register --username ann --invite-file /opt/invite --password-file /opt/password.ann
ann sh -c 'mkdir ~/Public && p2pctl share ~/Public'
ann sh -c 'head -c 30000000 /dev/urandom >/tmp/one.bin && cp /tmp/one.bin ~/Public/'
until_ok "one.bin in the catalogue" has one.bin ann p2pctl search one.bin

nas systemctl enable --now p2pd.socket
[[ $(property $nas ActiveState p2pd.service) == inactive ]] || failed "p2pd runs before somebody connected"
nas p2pctl --system tracker add home "$tracker"
[[ $(property $nas ActiveState p2pd.service) == active ]] || failed "the first who connected did not start p2pd"
[[ $(nas stat -c '%a %G' /run/p2pd/control.sock) == '660 p2p' ]] || failed "the control socket is not the group's"
SYSTEMD_BOX_NAME=$nas "$box" exec sh -c 'umask 077; cat >/opt/invite' < <(sed -n 2p "$work/invitations")
nas p2pctl --system register --username nas --invite-file /opt/invite --password-file /root/password
nas p2pctl --system fetch --timeout 60s ann/Public/one.bin
until_ok "the file" same one.bin
nas p2pctl --system doctor >"$work/doctor" || { cat "$work/doctor" >&2; failed "p2pctl doctor finds a fault where there is none"; }
for check in socket versions folders disk inotify login transport port clock; do
    grep -q "^ok"$'\t'"$check"$'\t' "$work/doctor" || { cat "$work/doctor" >&2; failed "p2pctl doctor does not say that all is well with $check"; }
done
ok "shared on one machine, fetched on the other, whose daemon its socket started"

nas systemctl enable p2pd
ann sh -c 'head -c 200000000 /dev/urandom >/tmp/two.bin && cp /tmp/two.bin ~/Public/'
until_ok "two.bin in the catalogue" has two.bin ann p2pctl search two.bin
home sync
nas p2pctl --system limit down=20MiB/s
nas p2pctl --system config set limits.lan_exempt false >/dev/null
nas systemctl restart p2pd         # what is exempt is settled at the start
nas p2pctl --system fetch --detach ann/Public/two.bin
until_ok "a part of two.bin" has "two.bin"$'\t'"[1-9]" nas p2pctl --system --fields name,done ls
nas sync
SYSTEMD_BOX_NAME=$nas "$box" kill
SYSTEMD_BOX_NAME=$nas "$box" boot >/dev/null
until_ok "the fetch to go on after the power cut" same two.bin
ok "a power cut in the middle of a fetch: it ends by itself after the boot"

home sh -c 'printf "[tracker]\nname = \"ours\"\n" >/etc/p2p/p2p-tracker.toml'
before=$(property $nas MainPID p2pd)
nas sh -c 'dpkg -i /opt/new/*p2pd*.deb' >/dev/null
home sh -c 'dpkg -i /opt/new/*.deb' >/dev/null
[[ $(property $nas MainPID p2pd) != "$before" ]] || failed "the new version of p2pd was not started"
has two.bin nas p2pctl --system ls
has nas nas p2pctl --system whoami
has ours home cat /etc/p2p/p2p-tracker.toml
until_ok "the catalogue after the upgrade" has two.bin nas p2pctl --system search two.bin
ok "an upgrade restarts what runs, and keeps items, logins and what an administrator wrote"

SYSTEMD_BOX_NAME=$home "$box" reboot >/dev/null
until_ok "ann's p2pd after the reboot" has seeding ann p2pctl ls
ok "a user's service runs on after a reboot, without a login"

nas mkdir -p /run/systemd/system/p2pd.service.d
SYSTEMD_BOX_NAME=$nas "$box" exec sh -c 'cat >/run/systemd/system/p2pd.service.d/watchdog.conf' < <(printf '[Service]\nWatchdogSec=2\n')
nas systemctl daemon-reload
nas systemctl restart p2pd
before=$(property $nas MainPID p2pd)
nas kill -STOP "$before"
started_anew() { local now; now=$(property $nas MainPID p2pd); [[ $now != 0 && $now != "$before" ]] && nas p2pctl --system status >/dev/null; }
until_ok "p2pd to be started anew by the watchdog" started_anew
began=$(date +%s%N)
nas systemctl stop p2pd
(( ($(date +%s%N) - began) / 1000000 < 5500 )) || failed "p2pd took longer than 5 s to stop"
[[ $(property $nas Result p2pd) == success ]] || failed "p2pd did not stop cleanly"
ok "a daemon that hangs is started anew, and one that is told to stop does so in 5 s"

nas sh -c 'echo "nonsense = 1" >/etc/p2p/p2pd.toml'
if nas systemctl start p2pd 2>/dev/null; then failed "p2pd started with a bad configuration"; fi
[[ $(property $nas ExecMainStatus p2pd) == 78 && $(property $nas NRestarts p2pd) == 0 ]] || failed "a bad configuration is tried again"
nas rm /etc/p2p/p2pd.toml
ok "a bad configuration ends with 78 and is not tried again"

home systemctl stop p2p-tracker
hardening $home p2p-tracker
nas rm -rf /run/systemd/system/p2pd.service.d
hardening $nas p2pd

for name in $home $nas; do
    in_box "$name" sh -c 'dpkg --purge p2p-tracker p2pd 2>&1' >/dev/null
    left=$(in_box "$name" sh -c 'ls -d /etc/p2p /var/lib/p2p* /usr/bin/p2p* /usr/lib/systemd/*/p2p* /run/p2p* /etc/systemd/*/*.wants/p2p* 2>/dev/null; getent passwd p2p-tracker; true')
    [[ -z $left ]] || failed "left in $name after the purge: $left"
done
nas test -e /srv/p2p/two.bin
if home getent passwd p2pd; then failed "the user p2pd is left where nothing belongs to it"; fi
home test -e /home/ann/.local/state/p2p
ok "a purge leaves nothing but what people fetched and what is theirs"

finish

#!/usr/bin/env bash
# The services in a booted systemd: install, start, stop, restart, reboot, power cut.
#
#   tests/systemd/service.sh [FOLDER WITH THE THREE PROGRAMS]     (default: target/release)
#
# Needs root, systemd-container, debootstrap, e2fsprogs, iproute2, perl. Boots a throw-away box of its own.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
binaries=$(cd "${1:-${CARGO_TARGET_DIR:-$here/target}/release}" && pwd)
export SYSTEMD_BOX_NAME=p2p-service SYSTEMD_BOX_NET=veth
# shellcheck source=tests/systemd/lib.sh
. "$here/tests/systemd/lib.sh"

cleanup() { "$box" destroy >/dev/null 2>&1 || true; rm -rf -- "$work"; }
show_logs() { "$box" exec journalctl -n 80 --no-pager -o short-precise -u p2p-tracker -u p2pd -u user@1000; }
root() { in_box "$SYSTEMD_BOX_NAME" "$@"; }
ann() { as_in "$SYSTEMD_BOX_NAME" ann "$@"; }
same() { [[ $(root sha1sum "$1" | cut -d' ' -f1) == "$(root sha1sum "$2" | cut -d' ' -f1)" ]]; }

"$box" destroy >/dev/null 2>&1 || true
"$box" create
"$box" boot >/dev/null

# What install.sh needs of the checkout, and the programs.
mkdir -p "$work/checkout/binaries"
cp -r "$here/packaging" "$here/systemd" "$here/docs" "$here/README.md" "$here/CHANGELOG.md" "$work/checkout/"
cp "$binaries"/p2pd "$binaries"/p2pctl "$binaries"/p2p-tracker "$work/checkout/binaries/"
"$box" copy "$work/checkout" /opt/p2p
root env BINARIES=/opt/p2p/binaries /opt/p2p/packaging/install.sh
units=/usr/lib/systemd
root systemd-analyze verify --man=no $units/system/p2p-tracker.service $units/system/p2pd.service $units/system/p2pd.socket >"$work/verify" 2>&1 || true
root systemd-analyze verify --man=no --user $units/user/p2pd.service >>"$work/verify" 2>&1 || true
if grep -E 'p2p(d|-tracker)\.' "$work/verify" >&2; then failed "systemd-analyze verify"; fi
for example in hooks/pre-release-clamd hooks/plugin-quota.py data.conf ../docs/hooks.md ../../p2p-tracker/examples/grafana.json; do
    root test -e /usr/share/doc/p2pd/examples/$example
done
ok "installed with examples, units are clean"

root systemctl start p2p-tracker
[[ $(root systemctl show -p StatusText --value p2p-tracker) == *6969* ]] || failed "p2p-tracker has no status"
root systemctl start p2pd
root p2pctl --system status >/dev/null
ok "p2p-tracker and the system p2pd start, and are ready when systemctl returns"

has '"TARGET":"p2p_tracker' root journalctl -u p2p-tracker -o json || failed "the tracker's log has no fields in the journal"
has '"TARGET":"p2pd' root journalctl -u p2pd -o json || failed "p2pd's log has no fields in the journal"
ok "both write to the journal with fields"

own=/var/lib/p2p-tracker/tls.pem
shown=$(root p2p-tracker fingerprint)
root install -d -m 700 /etc/credstore
root cp $own /etc/credstore/p2p-tracker.crt
root mv $own /etc/credstore/p2p-tracker.key
root systemctl restart p2p-tracker
[[ $(root p2p-tracker fingerprint) == "$shown" ]] || failed "the certificate of the credentials is not served"
root mv /etc/credstore/p2p-tracker.key $own
root rm /etc/credstore/p2p-tracker.crt
root systemctl restart p2p-tracker
[[ $(root p2p-tracker fingerprint) == "$shown" ]] || failed "the tracker's own certificate is not served"
ok "certificate and key come as credentials where root keeps them, else the tracker's own is served"

cat >"$work/no-eve" <<'EOF'
#!/bin/sh
[ "$P2P_ACCOUNT" != eve ] && exit 0
# The unit lets the tracker write there.
touch /var/lib/p2p-tracker/of-the-hook 2>/dev/null || echo 'no eve here'
exit 1
EOF
cat >"$work/told" <<'EOF'
#!/bin/sh
echo "told of $P2P_ACCOUNT as $(id -un)"
EOF
chmod 755 "$work/no-eve" "$work/told"
root mkdir -p /etc/p2p/tracker-hooks.d/pre-register.d /etc/p2p/tracker-hooks.d/account.created.d
"$box" copy "$work/no-eve" /etc/p2p/tracker-hooks.d/pre-register.d/10-no-eve
"$box" copy "$work/told" /etc/p2p/tracker-hooks.d/account.created.d/10-told
[[ $(root p2p-tracker hooks | grep -c ^ready) == 2 ]] || { root p2p-tracker hooks >&2; failed "the tracker's hooks are not ready"; }
root systemctl restart p2p-tracker  # so that it knows of them at once

root useradd -m ann
root loginctl enable-linger ann
until_ok "ann's service manager" ann systemctl --user is-system-running --wait
ann systemctl --user start p2pd
ann p2pctl status >/dev/null
ok "the user p2pd starts"

password=/tmp/password
root sh -c "umask 077; echo 'correct horse battery staple' >$password; chown ann $password"
# Puts a new invitation into the file $1, owned by $2.
invite() { root sh -c "umask 077; p2p-tracker invite | tail -n 1 >$1; chown $2 $1"; }
ann p2pctl tracker add home http://127.0.0.1:6969
invite /tmp/invite ann
ann p2pctl register --username ann --invite-file /tmp/invite --password-file $password
invite /tmp/invite.eve ann
if ann p2pctl register --username eve --invite-file /tmp/invite.eve --password-file $password 2>"$work/refused"; then failed "the gate let eve in"; fi
has 'no eve here' cat "$work/refused" || { cat "$work/refused" >&2; failed "no word on why eve is refused"; }
until_ok "the tracker's hook" has 'account.created 10-told: told of ann as p2p-tracker' root journalctl -u p2p-tracker
root rm -r /etc/p2p/tracker-hooks.d
ok "hooks of the tracker run from its unit in their sandbox: one refuses, one is told"
ann sh -c 'mkdir ~/Public && p2pctl share ~/Public'
ann sh -c 'head -c 30000000 /dev/urandom >/tmp/one.bin && cp /tmp/one.bin ~/Public/'
until_ok "one.bin in the catalogue" has one.bin ann p2pctl search one.bin
until_ok "what ann's p2pd does in its status" has 'port [0-9]*: 1 seeding$' ann systemctl --user show -p StatusText --value p2pd
root sh -c "cp $password $password.root"
root p2pctl --system tracker add home http://127.0.0.1:6969
invite /tmp/invite.root root
root p2pctl --system register --username nas --invite-file /tmp/invite.root --password-file $password.root
cat >"$work/probe" <<'EOF'
#!/bin/sh
echo "told of $P2P_NAME as $(id -un), $(grep NoNewPrivs /proc/self/status)"
touch "${P2P_PATH%/*}/of-the-hook" && echo 'writes beside what was fetched'
touch "$TMPDIR/own" && echo 'writes to its own folder'
# The unit lets p2pd write there, so what says no is the sandbox of the hook.
touch /var/lib/p2pd/of-the-hook 2>/dev/null || echo 'does not write to the state'
EOF
chmod 755 "$work/probe"
root mkdir -p /etc/p2p/hooks.d/item.finished.d
"$box" copy "$work/probe" /etc/p2p/hooks.d/item.finished.d/10-probe
has ready root p2pctl --system hooks ls || { root p2pctl --system hooks ls >&2; failed "the hook is not ready"; }
root p2pctl --system fetch --timeout 60s ann/Public/one.bin
until_ok "what the system p2pd does in its status" has 'port [0-9]*: 1 seeding$' root systemctl show -p StatusText --value p2pd
until_ok "the file" same /srv/p2p/one.bin /home/ann/Public/one.bin
ok "a file dropped into the user's share is fetched by the system daemon"

until_ok "the run of the hook" has item.finished root p2pctl --system --json hooks log
root p2pctl --system --json hooks log >"$work/runs"
for said in '"outcome": *"ok"' 'told of one.bin as p2pd, NoNewPrivs: 1' 'writes beside what was fetched' 'writes to its own folder' 'does not write to the state'; do
    grep -q "$said" "$work/runs" || { cat "$work/runs" >&2; failed "the hook did not say: $said"; }
done
root test ! -e /var/lib/p2pd/of-the-hook
root rm -r /etc/p2p/hooks.d/item.finished.d /srv/p2p/of-the-hook
ok "a hook runs from the system unit in its sandbox, and its output is in p2pctl hooks log"

ben() { root runuser -u ben -- "$@"; }
root useradd -m -G p2p ben
root chmod 700 /home/ben
ben sh -c 'mkdir ~/Public && head -c 3000000 /dev/urandom >~/Public/ben.bin'
if ben p2pctl --system share /home/ben/Public 2>"$work/refused"; then failed "shared what p2pd cannot read"; fi
has 'setfacl -m u:p2pd:x /home/ben &&' cat "$work/refused" || { cat "$work/refused" >&2; failed "no word on how to let p2pd read"; }
root chmod 711 /home/ben
ben p2pctl --system share --detach /home/ben/Public
until_ok "ben.bin to be seeded" has seeding ben p2pctl --system ls ben.bin
until_ok "root to see it" has ben.bin root p2pctl --system ls ben.bin
if has one.bin ben p2pctl --system ls; then failed "ben sees what root fetched"; fi
if ben p2pctl --system limit up=1MiB/s 2>/dev/null; then failed "ben changed the limits"; fi
ok "a member of the group p2p shares a folder through the system daemon, and sees nothing else"

root install -D -m 0755 /usr/share/doc/p2pd/examples/hooks/pre-publish-extensions /etc/p2p/hooks.d/pre-publish.d/20-extensions
ben sh -c 'head -c 3000 /dev/urandom >/tmp/setup.exe && mv /tmp/setup.exe ~/Public/'
until_ok "the gate to hold setup.exe" has held ben p2pctl --system ls setup.exe
has 'programs are not published here' ben p2pctl --system show setup.exe || failed "nobody says why setup.exe is held"
root rm -r /etc/p2p/hooks.d/pre-publish.d
ben p2pctl --system resume setup.exe
until_ok "setup.exe to be seeded" has seeding ben p2pctl --system ls setup.exe
ok "an example of a gate keeps an entry back under the system unit, until it is gone and asked again"

for service in p2p-tracker p2pd; do
    root systemctl stop $service
    [[ $(root systemctl show -p Result --value $service) == success ]] || failed "$service did not stop cleanly"
    root systemctl start $service
    root systemctl restart $service
    root systemctl reload $service
    root systemctl is-active --quiet $service || failed "$service is not active after restart and reload"
done
ann systemctl --user restart p2pd
# Stopped stays stopped: the socket would start it for the next client.
root p2pctl --system daemon stop
code=0; root p2pctl --system ls || code=$?
[[ $code == 3 ]] || failed "p2pctl ls ended with $code after daemon stop, not with 3"
root p2pctl --system daemon start
ok "stop, start, restart, reload"

root systemctl enable p2p-tracker p2pd
ann systemctl --user enable p2pd
"$box" reboot >/dev/null
until_ok "the tracker after the reboot" root systemctl is-active --quiet p2p-tracker
until_ok "the user p2pd after the reboot" has seeding ann p2pctl ls
until_ok "the system p2pd after the reboot" has seeding root p2pctl --system ls
ann sh -c 'head -c 20000000 /dev/urandom >/tmp/two.bin && cp /tmp/two.bin ~/Public/'
until_ok "two.bin in the catalogue" has two.bin ann p2pctl search two.bin
root p2pctl --system fetch --timeout 60s ann/Public/two.bin
until_ok "the second file" same /srv/p2p/two.bin /home/ann/Public/two.bin
ok "after a reboot everything runs on by itself"

ann sh -c 'head -c 200000000 /dev/urandom >/tmp/three.bin && cp /tmp/three.bin ~/Public/'
until_ok "three.bin in the catalogue" has three.bin ann p2pctl search three.bin
root sync
root p2pctl --system limit down=20MiB/s
root p2pctl --system config set limits.lan_exempt false >/dev/null
root systemctl restart p2pd         # what is exempt is settled at the start
root p2pctl --system fetch --detach ann/Public/three.bin
until_ok "a part of three.bin" has "three.bin"$'\t'"[1-9]" root p2pctl --system --fields name,done ls
root sync
"$box" kill
"$box" boot >/dev/null
until_ok "the fetch to go on after the power cut" same /srv/p2p/three.bin /home/ann/Public/three.bin
ok "a power cut in the middle of a fetch: it ends by itself after the boot"

root sh -c 'echo "[http]\nlisten = 7" >/etc/p2p/p2p-tracker.toml'
if root systemctl restart p2p-tracker; then failed "started with a bad configuration"; fi
[[ $(root systemctl show -p ExecMainStatus --value p2p-tracker) == 78 ]] || failed "a bad configuration does not end with 78"
[[ $(root systemctl show -p NRestarts --value p2p-tracker) == 0 ]] || failed "restarts with a bad configuration"
ok "a bad configuration ends with 78 and is not tried again"

finish

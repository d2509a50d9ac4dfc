# Sourced: tries each hardening directive of a unit. A probe runs in the unit's sandbox, whole and then without the directive; it must see
# the difference.
# SC2016: what is in single quotes is for the shell in the box. SC2154: box, here and work come from lib.sh and who sources it.
# shellcheck shell=bash disable=SC2148,SC2016,SC2154

# Where leaving one out changes nothing, because another covers it. Both would have to go for a hole.
covered='
    NoNewPrivileges         every filter of system calls implies it where there is a User=
    AmbientCapabilities     empty is the default
    DevicePolicy            PrivateDevices= closes the devices, too
    PrivateMounts           whatever hides or protects a folder implies it
    RemoveIPC               PrivateIPC= takes what is left with its namespace
    ProtectKernelTunables   the box has them mounted read-only already
    ProtectControlGroups    the box has them mounted read-only already
    SystemCallErrorNumber   says how a call is refused, not whether
'
# Of the service's life, not of its sandbox.
not_hardening='Type|ExecStart|ExecReload|User|Group|StateDirectory|StateDirectoryMode|RuntimeDirectory|Restart|RestartSec|RestartPreventExitStatus|WatchdogSec|TimeoutStopSec|LimitNOFILE|ReadWritePaths|Sockets|LoadCredential'

# probe BOX UNIT [DIRECTIVE]: what the probe sees in the sandbox of UNIT, without DIRECTIVE if one is given.
probe() {
    in_box "$1" sh -c '
        unit=$1 without=$2
        {
            echo "[Service]"; echo "Type=oneshot"; echo "ExecStart=/usr/bin/perl /opt/probe.pl"
            echo "StandardOutput=truncate:/opt/probe.out"; cat /opt/probe.env
            sed -n "/^\[Service\]/,/^\[Install\]/p" "/usr/lib/systemd/system/$unit.service" |
                grep -E "^[A-Z][A-Za-z]*=" | grep -vE "^(Type|ExecStart|ExecReload|Restart.*|WatchdogSec|TimeoutStopSec|RuntimeDirectory|${without:-nothing})="
        } >/run/systemd/system/probe.service
        systemctl daemon-reload && systemctl start probe.service && cat /opt/probe.out
    ' sh "$2" "${3:-}"
}

# hardening BOX UNIT: fails where a directive can be left out without the probe seeing it, and is not listed as covered by another.
hardening() {
    local where=$1 unit=$2 directive number=0
    SYSTEMD_BOX_NAME=$where "$box" copy "$here/tests/systemd/probe.pl" /opt/probe.pl
    in_box "$where" sh -c '
        mkdir -p /opt/open /home/probe /usr/lib/modules; chmod 1777 /opt/open; chmod 755 /home/probe; touch /tmp/of-the-box /opt/probe.out
        for space in ipc uts user mnt; do
            echo "Environment=\"BOX_$(echo $space | tr a-z A-Z)=$(readlink /proc/1/ns/$space)\""
        done >/opt/probe.env
        echo "Environment=PROBE_ARCH=$(uname -m)" >>/opt/probe.env'
    probe "$where" "$unit" >"$work/whole"
    for directive in $(in_box "$where" sed -n '/^\[Service\]/,/^\[Install\]/s/^\([A-Z][A-Za-z]*\)=.*/\1/p' "/usr/lib/systemd/system/$unit.service" | sort -u); do
        [[ ! $directive =~ ^($not_hardening)$ ]] || continue
        probe "$where" "$unit" "$directive" >"$work/without"
        if cmp -s "$work/whole" "$work/without"; then
            grep -q "^ *$directive " <<<"$covered" || failed "$unit: the probe does not notice that $directive= is missing"
        else
            number=$((number + 1))
        fi
    done
    (( number > 10 )) || failed "$unit: only $number directives were noticed"
    in_box "$where" sh -c 'rm -f /run/systemd/system/probe.service; systemctl daemon-reload'
    ok "$unit: $number hardening directives, each noticed by a probe when it is missing"
}

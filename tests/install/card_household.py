"""A household around the doorbell, inside the emulated machine: a router with a Wi-Fi, and the phone's way in.

The kernel's mac80211_hwsim gives two radios. One is the doorbell's, and NetworkManager has it. The other one is the
router's, in a network namespace, with wpa_supplicant as access point and dnsmasq for addresses. The machine's only
cable lies in that namespace too. So the phone reaches the doorbell only by the Wi-Fi that the set-up code names. The
router runs while the file `SWITCH` is in the camera's folder, which the test writes from outside.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["PACKAGES", "PASSWORD", "PROGRAM", "SWITCH", "UNIT", "WIFI", "WIFI_PLACE", "wifi_of_the_router"]

WIFI, PASSWORD = "Onder de linde, 2", r"pass\word with spaces"
"""The household's. Raspberry Pi Imager was told of another Wi-Fi (imager_files.py), which is not in the air."""
SWITCH = "router"
PACKAGES = ("dnsmasq-base", "iw", "wpasupplicant")
PORT = 8443
ROUTER, DOORBELL = "192.168.77.1", "192.168.77.20"
CABLE = "10.0.2.15"
"""QEMU's user network sends the phone's connections there."""
WIFI_PLACE = Path("etc/look-alike-wifi.conf")
PROGRAM = f"""\
#!/bin/sh
set -eu
home="ip netns exec home"

case $1 in
build)
    modprobe mac80211_hwsim radios=2
    ip netns add home
    iw phy "$(cat /sys/class/net/wlan1/phy80211/name)" set netns name home
    while [ ! -e /sys/class/net/eth0 ]; do sleep 0.5; done
    ip link set eth0 netns home
    $home ip link set lo up
    $home ip address add {CABLE}/24 dev eth0
    $home ip link set eth0 up
    $home ip address add {ROUTER}/24 dev wlan1
    ;;
run)
    $home dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --port=0 --interface=wlan1 --bind-dynamic \\
        --dhcp-range={DOORBELL},{DOORBELL},255.255.255.0,12h --dhcp-authoritative --no-ping --leasefile-ro &
    $home systemd-socket-activate --listen={CABLE}:{PORT} \\
        /usr/lib/systemd/systemd-socket-proxyd {DOORBELL}:{PORT} &
    router=
    while :; do
        if [ -e /srv/camera/{SWITCH} ]; then
            [ -n "$router" ] || {{ $home wpa_supplicant -i wlan1 -c /{WIFI_PLACE} & router=$!; }}
        elif [ -n "$router" ]; then
            kill "$router" || true
            router=
        fi
        sleep 1
    done
    ;;
esac
"""
UNIT = """\
[Unit]
Before=NetworkManager.service
[Service]
ExecStartPre=/usr/local/sbin/look-alike-household build
ExecStart=/usr/local/sbin/look-alike-household run
[Install]
WantedBy=multi-user.target
"""


def wifi_of_the_router() -> str:
    """Returns wpa_supplicant's configuration of an access point with WPA2."""
    # A backslash in quotes means itself there.
    lines = [f"ssid={WIFI.encode().hex()}", "mode=2", "frequency=2412", "key_mgmt=WPA-PSK", "proto=RSN"]
    lines += ["pairwise=CCMP", f'psk="{PASSWORD}"']
    return "network={\n" + "".join(f"    {line}\n" for line in lines) + "}\n"

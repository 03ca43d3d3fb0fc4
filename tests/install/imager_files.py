"""The files that Raspberry Pi Imager 2 writes to the boot partition of a card with `init_format` "cloudinit".

Its answers: host name, time zone, keyboard, a user with a password, SSH with a password, a Wi-Fi. Shape and order are
those of its `customization_generator.cpp` (72ad1179, 2026-08-17); the values are ours.
"""

from __future__ import annotations

__all__ = ["CMDLINE", "HOST", "USER", "WIFI", "files"]

HOST, USER, WIFI = "porch", "anna", "Huis, 3 hoog"
INSTANCE = "rpi-imager-1790000000000"
CMDLINE = f" ds=nocloud;i={INSTANCE}"
"""Imager adds this to cmdline.txt."""
_HASH = "$5$doorward$FgnbUqQfnYbwqWYjQoR5bGq3u2nUe8r4z1Jq5XoTnS4"
_KEY = "4b1f" * 16

_USER_DATA = f"""\
#cloud-config
manage_resolv_conf: false

hostname: {HOST}
manage_etc_hosts: true
packages:
- avahi-daemon

apt:
  preserve_sources_list: true
  conf: |
    Acquire {{
      Check-Date "false";
    }};

timezone: Europe/Amsterdam
keyboard:
  model: pc105
  layout: "us"
user:
  name: {USER}
  shell: /bin/bash
  lock_passwd: false
  passwd: "{_HASH}"
  sudo: null

ssh_pwauth: true

runcmd:
  - [ systemctl, enable, --now, ssh ]
"""
_NETWORK_CONFIG = f"""\
network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
      optional: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "NL"
      access-points:
        "{WIFI}":
          password: "{_KEY}"
      optional: true
"""


def files() -> dict[str, str]:
    """Returns the texts by their names on the boot partition."""
    return {
        "meta-data": f"instance-id: {INSTANCE}\n",
        "user-data": _USER_DATA,
        "network-config": _NETWORK_CONFIG,
    }

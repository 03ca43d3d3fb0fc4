"""The only reasons for which a test may be skipped, and the parts of tests that only run at length.

tests/conftest.py fails a test that is skipped for another reason. A test that could run but takes long carries the
marker `at_length` instead: it is left out of `make test`, which says how many it left out, and its target runs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["AT_LENGTH", "LACKING", "may_be_skipped"]

LACKING: Final[Mapping[str, tuple[str, ...]]] = {
    "packages that this release of Debian lacks, or nobody installed": (
        r"no (chromium|firefox|WebKit|RTSP server) ?(here)?: apt-get install .*",
        r"Firefox \d+ is too old for its driver: \d+ or newer",
        r"Node\.js .*: playwright-core needs \d+ or newer",
        r"npm age-encryption needs node 20 or newer, this is .*",
        r"(stock age|node) is not installed: apt-get install .*",
        r"(mosquitto|systemd-analyze|dpkg|dpkg-deb|gpg|make|openssl|strace) is not installed.*",
        r"mkfs\.\S+( \(Debian: \S+\))? is not installed",
        r"not installed: .*",
        r"there is no C compiler( here)?",
        r"needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static",
        r"this mosquitto closes the old connection without saying why; 2\.0\.11, of Debian 12, does",
        r"this machine's libcamera has no virtual pipeline|no virtual pipeline",
        r"libcamera's binding is for the system's Python, .*, and this is another one",
        r"this environment sees picamera2",
        r"this node has no WebSocket",
        r"the runner needs sys\.monitoring",
        r"SoftHSM is missing: install softhsm2",
    ),
    "something that set-up could not fetch or build here": (
        r"the public test vectors could not be fetched: make setup-test",
        r"the shared test data is not at .*: set DOORWARD_SHARED",
        r"real footage is missing: install opencv-doc, or set DOORWARD_VTEST to vtest\.avi",
        r"(playwright-core|npm age-encryption|esbuild) is not installed: run `npm ci` in \S+",
        r"node or the page's packages are missing: run `npm ci` in agent/web/src",
        r"the JavaScript tools are missing: run `make setup-test`",
        r".* (is not installed|are not in .*)\.",
        r"Object detection lacks .*\. Run `make models`\.",
        r"no native passes here: .*",
        r"the camera's environment is not prepared: make test does it",
        r"the container is not prepared: make setup-test does it",
        r"atheris is not installed: make fuzz, on x86-64",
    ),
    "rights or devices": (
        r"(power cuts on a real ext4: )?(mounting( a disk image)? needs root|no mount namespaces here)",
        r"(power cuts on a real ext4: )?(this machine has no /dev/\S+|this kernel has no \S+)",
        r"power cuts on a real ext4: .* is not installed",
        r"only root can (boot a container|be lent another user's rights)",
        r"only root gives files away",
        r"this is a container itself",
        r"no network namespaces here: (this needs root|apt-get install iproute2 nftables|/proc/sys takes no settings)",
        r"strace is not installed, or may not be used here",
        r"this test opens more than a thousand sockets",
    ),
    "a property of this kernel or its settings": (
        r"classes of I/O are Linux's|the kernel counts nothing here",
        r"no IPv6 on this machine",
        r"no multicast on this machine's loopback",
        r"this machine lends ports from \d+ on",
        r"/var/tmp is in memory, and no disk wears out",
        r"the file system of /var/tmp takes no writes past the cache",
    ),
}

AT_LENGTH: Final[Mapping[str, tuple[str, str]]] = {
    "make test-long": ("DOORWARD_LONG", "all"),
    "make test-browser": ("DOORWARD_BROWSER", "all"),
    "make prove-consent": ("DOORWARD_PROVE", "all"),
    "make prove-crash": ("DOORWARD_THOROUGH", ""),
    "DOORWARD_EXPLORE=all, hours": ("DOORWARD_EXPLORE", "all"),
    "make test-home-assistant": ("DOORWARD_HOME_ASSISTANT", ""),
}
"""Commands that run the tests with this marker: the variable it sets, and its value (empty: any)."""

_LISTED: Final = re.compile("|".join(f"(?:{each})" for reasons in LACKING.values() for each in reasons))


def may_be_skipped(reason: str) -> bool:
    return _LISTED.fullmatch(reason.removeprefix("Skipped: ").strip()) is not None

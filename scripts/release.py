"""Builds the release files: `release.py deb ARCHITECTURE [--wheelhouse FOLDER]`, `release.py sbom`.

Rules: the bytes of a file depend only on the commit: sorted names, root as owner, the commit's time on every file
(SOURCE_DATE_EPOCH). Nothing is compressed, because two versions of zlib need not agree, and wheels are compressed
already. The .deb is the source tree, its wheels and the installer. Its scripts do the same as `make install`. Source:
deb(5), deb-control(5), reproducible-builds.org/specs/source-date-epoch; CycloneDX 1.6.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import fetch_models
from installation import kernel
from installation.versions import files_of

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
BASE = "usr/lib/doorward"
DEPENDS = "python3 (>= 3.11), python3-venv, systemd, passwd, util-linux, ca-certificates"
RECOMMENDS = "python3-picamera2, python3-libgpiod, avahi-daemon"
POSTINST = f"""\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
exec /usr/bin/python3 -I -B /{BASE}/scripts/installation install --source /{BASE}
"""
PRERM = f"""\
#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
exec /usr/bin/python3 -I -B /{BASE}/scripts/installation uninstall
"""
POSTRM = """\
#!/bin/sh
set -e
[ "$1" = purge ] || exit 0
for group in $(cat /var/lib/doorward/made-groups 2>/dev/null); do
    case $group in gpio | render | video) groupdel "$group" 2>/dev/null || true ;; esac
done
rm -rf /var/lib/doorward /etc/doorward /opt/doorward
for user in doorward-recorder doorward-custodian doorward-uplink doorward-bridge doorward-updater; do
    userdel "$user" 2>/dev/null || true
    groupdel "$user" 2>/dev/null || true
done
groupdel doorward-config 2>/dev/null || true
groupdel doorward-vault 2>/dev/null || true
"""


def version() -> str:
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "agent" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit("agent/__init__.py has no version.")
    return found[1]


def epoch() -> int:
    """Returns the commit's time, or the time in the environment if it is set."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    words = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def deb(architecture: str, wheelhouse: Path | None, out: Path) -> Path:
    at_s = epoch()
    files: dict[str, bytes] = {f"{BASE}/{path}": (ROOT / path).read_bytes() for path in files_of(ROOT)}
    files[f"{BASE}/sbom.cdx.json"] = sbom().encode()
    if wheelhouse is not None:
        ready = [*wheelhouse.glob("*.whl"), *wheelhouse.glob(kernel.LIBRARY.name)]
        files |= {f"{BASE}/wheelhouse/{path.name}": path.read_bytes() for path in sorted(ready)}
    size_kib = sum(len(data) for data in files.values()) // 1024
    control = (
        f"Package: doorward\nVersion: {version()}\nArchitecture: {architecture}\nMaintainer: The Doorward project\n"
        f"Installed-Size: {size_kib}\nDepends: {DEPENDS}\nRecommends: {RECOMMENDS}\n"
        "Section: video\nPriority: optional\n"
        "Description: doorbell camera that cannot see its own past\n"
        " Footage is sealed to keys that are not in the doorbell. It leaves only when its\n"
        " owner hands over the keys of exactly the segments they chose.\n"
    )
    # dpkg's format knows only MD5. Without the word, Python refuses it where OpenSSL follows FIPS.
    sums = "".join(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {name}\n" for name, data in files.items())
    scripts = {"control": control, "md5sums": sums, "postinst": POSTINST, "prerm": PRERM, "postrm": POSTRM}
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", packed({name: text.encode() for name, text in scripts.items()}, at_s, executable=True)),
        ("data.tar", packed(files, at_s, executable=False)),
    ]
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"doorward_{version()}_{architecture}.deb"
    made.write_bytes(b"!<arch>\n" + b"".join(_ar_member(name, data, at_s) for name, data in members))
    return made


def packed(files: dict[str, bytes], at_s: int, *, executable: bool) -> bytes:
    """Returns a tar of `files`. `executable`: all but `control` and `md5sums` may run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in _folders(files):
            member = tarfile.TarInfo(f"./{folder}" if folder else "./")
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, at_s
            tar.addfile(member)
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(f"./{name}")
            runs = executable and name not in ("control", "md5sums")
            member.size, member.mode, member.mtime = len(data), 0o755 if runs else 0o644, at_s
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _folders(names: Iterable[str]) -> list[str]:
    found = {""}
    for name in names:
        found |= {str(parent) for parent in Path(name).parents if str(parent) != "."}
    return sorted(found)


def _ar_member(name: str, data: bytes, at_s: int) -> bytes:
    # ar(5) begins each member at an even byte.
    return f"{name:<16}{at_s:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def sbom() -> str:
    """CycloneDX: every pinned package with the hashes it is checked against, and what comes from the system."""
    components = [*_pinned(), *_network(), *_of_the_system()]
    root = {"type": "application", "bom-ref": "doorward", "name": "doorward", "version": version(),
            "licenses": [{"license": {"id": "Apache-2.0"}}]}  # fmt: skip
    body = json.dumps(components, sort_keys=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # From the content, because a random number would make two builds differ.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'doorward {version()} {body}')}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": "doorward", "dependsOn": sorted(str(each["bom-ref"]) for each in components)}],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _pinned() -> Iterator[dict[str, object]]:
    name = pinned = ""
    hashes: list[str] = []
    # A pin is given when the next begins, so one more line ends the last.
    for line in [*(ROOT / "requirements" / "run.txt").read_text().splitlines(), "end==0"]:
        if begins := re.match(r"([A-Za-z0-9_.-]+)==([^\s;\\]+)", line):
            if name:
                purl = f"pkg:pypi/{name}@{pinned}"
                yield {
                    "type": "library", "bom-ref": purl, "name": name, "version": pinned, "purl": purl,
                    "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(hashes)],
                }  # fmt: skip
            name, pinned, hashes = begins[1].lower(), begins[2], []
        hashes += re.findall(r"--hash=sha256:([0-9a-f]{64})", line)


def _network() -> Iterator[dict[str, object]]:
    """The network of object detection, which every release holds."""
    model = fetch_models.MODEL
    yield {
        "type": "machine-learning-model", "bom-ref": model.name, "name": model.name, "purl": model.purl,
        "hashes": [{"alg": "SHA-256", "content": model.sha256}], "licenses": [{"license": {"id": "Apache-2.0"}}],
    }  # fmt: skip


def _of_the_system() -> Iterator[dict[str, object]]:
    for each in (*DEPENDS.split(", "), *RECOMMENDS.split(", "), "mosquitto"):
        name = each.split(" ")[0]
        yield {"type": "library", "bom-ref": f"pkg:deb/debian/{name}", "name": name, "purl": f"pkg:deb/debian/{name}"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="release", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    deb_ = commands.add_parser("deb")
    deb_.add_argument("architecture", choices=["amd64", "arm64"])
    deb_.add_argument("--wheelhouse", type=Path)
    deb_.add_argument("--out", type=Path, default=DIST)
    commands.add_parser("sbom")
    wanted = parser.parse_args(arguments)
    if wanted.what == "sbom":
        print(sbom(), end="")
    else:
        made = deb(wanted.architecture, wanted.wheelhouse, wanted.out)
        print(f"{made}  {made.stat().st_size / 1e6:.1f} MB  sha256 {hashlib.sha256(made.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

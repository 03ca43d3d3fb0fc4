"""The apt repository: apt itself verifies it, finds the package in targets/, and refuses what was changed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.damage import with_another_end
from tests.lengths import one_in
from tests.releasing.release_folders import ROOT, Maintainers

# isort: split
from releasing.apt_repository import HOST, Gpg, write_apt_repository

pytestmark = pytest.mark.skipif(
    shutil.which("gpg") is None or shutil.which("apt-get") is None, reason="gpg is not installed"
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpg]:
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    words = ["gpg", "--homedir", home, "--batch", "--passphrase", "", "--quick-generate-key"]
    subprocess.run([*words, "Doorward archive (test)", "ed25519", "sign", "never"], capture_output=True, check=True)
    listed = subprocess.run(
        ["gpg", "--homedir", home, "--list-keys", "--with-colons"], capture_output=True, text=True, check=True
    ).stdout
    yield Gpg(next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr")), home)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


@pytest.fixture
def house(tmp_path: Path, key: Gpg) -> Maintainers:
    """A published release with real packages: `release.py` made them, without wheels."""
    house = Maintainers(tmp_path, packages=packages(tmp_path / "made"))
    house.begin("0.1.0")
    write_apt_repository(house.repository, house.now, key)
    return house


def packages(folder: Path) -> dict[str, bytes]:
    for architecture in ("amd64", "arm64"):
        words = [sys.executable, str(ROOT / "scripts" / "release.py"), "deb", architecture, "--out", str(folder)]
        environment = {"SOURCE_DATE_EPOCH": "1780000000", "PATH": "/usr/bin:/bin"}
        subprocess.run(words, env=environment, capture_output=True, check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Apt:
    """apt-get with a folder as its whole world."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        for name in (
            "state/lists/partial",
            "cache/archives/partial",
            "etc/sources.list.d",
            "etc/preferences.d",
            "etc/apt.conf.d",
        ):
            (folder / name).mkdir(parents=True)
        (folder / "status").write_text("")
        source = (repository / "doorward.sources").read_text()
        source = source.replace("https://updates.example", f"file://{repository}")
        (folder / "etc/sources.list.d/doorward.sources").write_text(source)

        options = {
            "Dir::State": folder / "state", "Dir::State::status": folder / "status", "Dir::Cache": folder / "cache",
            "Dir::Etc": folder / "etc", "Dir::Log": folder, "APT::Architecture": "arm64", "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }  # fmt: skip
        # APT_CONFIG is read first. So this machine's own settings, in /etc/apt, are not read at all.
        text = "".join(f'{name} "{value}";\n' for name, value in options.items())
        (folder / "apt.conf").write_text(text + 'APT::Architectures {"arm64";};\n')

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        environment["APT_CONFIG"] = str(self.folder / "apt.conf")
        return subprocess.run(
            ["apt-get", *words], cwd=self.folder, capture_output=True, text=True, check=False, env=environment
        )


def test_apt_verifies_the_repository_and_takes_the_package_of_its_architecture(
    house: Maintainers, tmp_path: Path
) -> None:
    apt = Apt(tmp_path / "apt", house.repository.folder)
    updated = apt.run("update")
    assert updated.returncode == 0, updated.stderr
    assert "W:" not in updated.stderr, updated.stderr
    fetched = apt.run("download", "doorward")
    assert fetched.returncode == 0, fetched.stderr
    assert (apt.folder / "doorward_0.1.0_arm64.deb").read_bytes() == house.packages["doorward_0.1.0_arm64.deb"]


@pytest.mark.parametrize("what", one_in(2, ("changed", "mixed", "old", "unsigned")))
def test_apt_refuses_a_repository_that_is(house: Maintainers, key: Gpg, tmp_path: Path, what: str) -> None:
    suite = house.repository.folder / "dists" / "stable"
    apt = Apt(tmp_path / "apt", house.repository.folder)
    if what == "changed":
        release = (suite / "InRelease").read_text()
        (suite / "InRelease").write_text(release.replace("Origin: Doorward", "Origin: Doorwatd"))
        (suite / "Release.gpg").unlink()
    elif what == "mixed":
        for path in [*suite.rglob("Packages"), *suite.rglob("by-hash/SHA256/*")]:
            path.write_bytes(path.read_bytes().replace(b"0.1.0", b"0.1.9"))
    elif what == "old":
        write_apt_repository(house.repository, house.now - timedelta(days=15), key)
    else:
        (suite / "InRelease").unlink()
        (suite / "Release.gpg").unlink()
    assert apt.run("update").returncode != 0


def test_apt_refuses_a_package_with_other_bytes(house: Maintainers, tmp_path: Path) -> None:
    apt = Apt(tmp_path / "apt", house.repository.folder)
    assert apt.run("update").returncode == 0
    package = next((house.repository.folder / "targets").glob("*_arm64.deb"))
    package.write_bytes(with_another_end(package.read_bytes()))
    assert apt.run("download", "doorward").returncode != 0


@pytest.mark.parametrize("pinned", [True, False])
def test_with_the_pin_a_thief_of_the_key_offers_no_other_package(
    house: Maintainers, key: Gpg, tmp_path: Path, pinned: bool
) -> None:
    """Each source of apt may offer each package of the system, for example a newer libc."""
    suite = house.repository.folder / "dists" / "stable"
    for path in [*suite.rglob("Packages"), *suite.rglob("by-hash/SHA256/*")]:
        text = path.read_text()
        path.write_text(f"{text}\n{text.replace('Package: doorward', 'Package: libc6')}")
    _sign_again(suite, key)
    apt = Apt(tmp_path / "apt", house.repository.folder)
    if pinned:
        pin = (house.repository.folder / "doorward.pref").read_text()
        assert pin.count(f'"{HOST}"') == 2
        # A repository in a folder has no host.
        (apt.folder / "etc/preferences.d/doorward").write_text(pin.replace(HOST, ""))
    assert apt.run("update").returncode == 0
    assert (apt.run("download", "libc6").returncode == 0) is not pinned
    assert apt.run("download", "doorward").returncode == 0


def _sign_again(suite: Path, key: Gpg) -> None:
    """The Release file with the hashes of what is there now, signed with the stolen key."""
    lines = (suite / "Release").read_text().partition("SHA256:\n")[0] + "SHA256:\n"
    for path in sorted(suite.rglob("Packages")):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        lines += f" {digest} {len(data)} {path.relative_to(suite)}\n"
        (path.parent / "by-hash" / "SHA256" / digest).write_bytes(data)
    (suite / "Release").write_text(lines)
    (suite / "Release.gpg").write_bytes(key.detached(lines.encode()))
    (suite / "InRelease").write_bytes(key.inline(lines.encode()))

"""The updater's own process, call by call: what it stages for root, and which reason it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.updates import FetchReport, Offer, Package, UpdateSource, UpdateTrouble
from agent.errors import ConfigurationError, DoorwardError, NetworkError, StorageError, UpdateError
from agent.updater import fetching
from agent.updater.fetching import Staging, trouble_of
from agent.updater.machine import Machine
from agent.wire import strictjson

NOW = ClockReading(BootNs(0), UtcNs(0), ClockQuality.SYNCED)
SOURCE = UpdateSource(v=1, source="https://updates.test/", root="the first root")
MACHINE = Machine("0.2.0", "arm64", "13")
PACKAGE = Package(kind="package", version="0.3.0", architecture="arm64", released="2026-12-01")
OFFER = Offer(version="0.3.0", sha256="0" * 64, length=500, released="2026-12-01")


class Client:
    """In place of the client of a repository, which offers `found`."""

    found: tuple[Package, Offer] | None = (PACKAGE, OFFER)
    there = False

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *made_of: object) -> Client:
        self.calls.append(("made", *made_of))
        return self

    def refresh(self) -> None:
        self.calls.append(("refresh",))

    def security_floor(self, _architecture: str) -> str | None:
        return "0.1.5"

    def newest(self, *of: str) -> tuple[Package, Offer] | None:
        self.calls.append(("newest", *of))
        return self.found

    def file_name(self, package: Package) -> str:
        return f"0.{package.name}"

    def has(self, *asked: object) -> bool:
        self.calls.append(("has", *asked))
        return self.there

    def download(self, *asked: object) -> None:
        self.calls.append(("download", *asked))

    def write_metadata(self, folder: Path) -> None:
        self.calls.append(("metadata", folder))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(fetching, "ReleaseClient", made)
    monkeypatch.setattr(fetching, "fetcher_for", lambda *of: of)
    monkeypatch.setattr(fetching, "require_room", lambda *of: made.calls.append(("room", *of)))
    return made


def report(staging: Staging) -> FetchReport:
    return strictjson.decode(staging.report.read_bytes(), FetchReport)


def test_the_newest_package_alone_is_staged_beside_its_metadata(client: Client, tmp_path: Path) -> None:
    staging = Staging(tmp_path / "updater")
    targets = tmp_path / "updater" / "repository" / "targets"
    (targets / "a folder").mkdir(parents=True)
    for name in ("an older package", f"0.{PACKAGE.name}"):
        (targets / name).write_text(name)
    (targets / "a link").symlink_to(tmp_path)
    staging.report.write_text("an older report")
    assert staging.fetch(SOURCE, MACHINE, NOW) is PACKAGE
    wanted = targets / f"0.{PACKAGE.name}"
    assert client.calls == [
        ("made", ("https://updates.test/", tmp_path / "updater"), tmp_path / "updater" / "trusted", b"the first root"),
        ("refresh",),
        ("newest", "0.2.0", "arm64", "13"),
        ("has", PACKAGE, wanted),
        ("room", tmp_path / "updater", 1000),
        ("download", PACKAGE, wanted),
        ("metadata", tmp_path / "updater" / "repository" / "metadata"),
    ]
    assert [path.name for path in targets.iterdir()] == [wanted.name]
    assert report(staging) == FetchReport(v=1, trouble=None)
    assert (tmp_path / "updater" / "trusted").is_dir()


def test_a_package_that_is_there_is_not_fetched_again_and_without_one_none_stays(
    client: Client, tmp_path: Path
) -> None:
    staging = Staging(tmp_path)
    client.there = True
    assert staging.fetch(SOURCE, MACHINE, NOW) is PACKAGE
    assert [name for name, *_ in client.calls] == ["made", "refresh", "newest", "has", "metadata"]
    (staging.targets / "an older package").touch()
    client.found = None
    assert staging.fetch(SOURCE, MACHINE, NOW) is None
    assert list(staging.targets.iterdir()) == []
    assert client.calls[-1] == ("metadata", tmp_path / "repository" / "metadata")


def test_a_fault_is_in_the_report_before_it_is_raised(client: Client, tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    with pytest.raises(UpdateError):
        staging.fetch(SOURCE, MACHINE, ClockReading(BootNs(0), UtcNs(0), ClockQuality.UNKNOWN))
    assert report(staging) == FetchReport(v=1, trouble=UpdateTrouble.CLOCK)
    assert client.calls == [], "nothing was asked"


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (UpdateError("x", reason="expired"), UpdateTrouble.EXPIRED),
        (UpdateError("x"), UpdateTrouble.REFUSED),
        (NetworkError("x"), UpdateTrouble.NETWORK),
        (StorageError("x"), UpdateTrouble.DISK),
        (ConfigurationError("x"), UpdateTrouble.REFUSED),
    ],
)
def test_each_fault_has_its_reason_for_an_owner(error: DoorwardError, trouble: UpdateTrouble) -> None:
    assert trouble_of(error) is trouble

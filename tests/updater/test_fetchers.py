"""Fetchers, byte by byte: the least pace of a server, files of a folder, members of a tar file. And root's own copy."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.updates import UpdateState, UpdateTrouble
from agent.errors import NetworkError, UpdateError
from agent.updater import fetchers, release_store
from agent.updater.fetchers import BoundedFetcher, FolderFetcher, HttpFetcher, TarFetcher, fetcher_for
from agent.updater.release_store import ReleaseStore
from tests.updater.test_fetching import MACHINE, OFFER, PACKAGE, Client


class Slow(io.RawIOBase):
    """A stream that gives these pieces one by one. None: nothing is there yet."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces, self.ended = list(pieces), 0

    def readinto(self, buffer: Any) -> int | None:
        piece = self.pieces.pop(0)
        if piece is None:
            return None
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.ended += 1
        super().close()


@pytest.mark.parametrize(
    ("passed_s", "received", "gives_up"),
    [
        (0.0, 0, False), (30.0, 0, False), (30.001, 0, True), (40.0, 40 * 4096, False), (40.0, 40 * 4096 - 1, True),
        (1000.0, 1000 * 4096, False),
    ],
)  # fmt: skip
def test_a_server_has_half_a_minute_and_then_four_kibibytes_a_second(
    passed_s: float, received: int, gives_up: bool
) -> None:
    now_s = [7.0]
    raw = Slow(bytes(received) or None)
    reader = fetchers._PacedReader(raw, lambda: now_s[0])
    now_s[0] += passed_s
    buffer = bytearray(received + 10)
    if gives_up:
        with pytest.raises(TimeoutError) as refused:
            reader.readinto(buffer)
        assert str(refused.value) == f"{received} bytes in {passed_s:.0f} s are too few"
    else:
        assert reader.readinto(buffer) == (received or None)
    assert reader.readable()
    reader.close()
    assert (raw.ended, raw.closed, reader.closed) == (1, True, True)


def test_all_that_came_counts_for_the_pace() -> None:
    now_s = [0.0]
    reader = fetchers._PacedReader(Slow(bytes(65_536), None, bytes(65_536)), lambda: now_s[0])
    buffer = bytearray(65_536)
    assert reader.readinto(buffer) == 65_536
    now_s[0] = 16.0
    assert reader.readinto(buffer) is None
    now_s[0] = 32.0
    assert reader.readinto(buffer) == 65_536


class Pieces(BoundedFetcher):
    def _fetch(self, url: str) -> Iterator[bytes]:
        yield from (b"abc", b"de")


def test_a_file_may_have_as_many_bytes_as_was_said_and_no_more(tmp_path: Path) -> None:
    with Pieces(tmp_path).download_file("x", 5) as file:
        assert file.read() == b"abcde"
        assert list(tmp_path.iterdir()) == [], "it has no name"
    with (
        pytest.raises(DownloadLengthMismatchError, match="x has more than 4 bytes"),
        Pieces(tmp_path).download_file("x", 4),
    ):
        pass
    assert Pieces(tmp_path).base == ""


def test_only_regular_files_below_a_folder_are_fetched(tmp_path: Path) -> None:
    folder = tmp_path / "staged"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "1.root.json").write_bytes(b"root" * 40_000)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "way").symlink_to(tmp_path)
    found = FolderFetcher(folder, tmp_path)
    assert b"".join(found.fetch("/metadata/1.root.json")) == b"root" * 40_000
    for url, words in (
        ("metadata/2.root.json", "is not there"), ("link", "link: "), ("way/secret", "way/secret: "),
        ("metadata", "metadata: it is not a regular file"), ("../secret", "is no path"), ("", "is no path"),
        ("metadata/.hidden", "is no path"),
    ):  # fmt: skip
        with pytest.raises((DownloadError, DownloadHTTPError), match=words):
            list(found.fetch(url))


def tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            made.addfile(member, io.BytesIO(data))
    return file.getvalue()


def test_each_member_of_a_tar_file_is_found_behind_those_of_any_length(tmp_path: Path) -> None:
    members = [("empty", b""), ("block", bytes(512)), ("more", b"x" * 513), ("large", b"y" * 150_000)]
    path = tmp_path / "doorward.update"
    path.write_bytes(tar(*members))
    found = TarFetcher(path, tmp_path)
    assert [b"".join(found.fetch(f"/{name}")) for name, _ in members] == [data for _, data in members]
    with pytest.raises(DownloadHTTPError, match=r"other is not in doorward\.update"):
        list(found.fetch("other"))
    path.write_bytes(tar(*members)[: 5 * 512 + 1024 + 149_999])
    with pytest.raises(UpdateError, match="it ends too early"):
        list(found.fetch("large"))
    for data, words in (
        (tar(("link", b""), kind=tarfile.SYMTYPE), "something else than plain files"),
        (b"no tar".ljust(512, b"x"), "is no update"),
    ):
        path.write_bytes(data)
        with pytest.raises(UpdateError, match=words):
            list(found.fetch("other"))


def test_a_source_is_an_address_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kinds = [type(fetcher_for(source, tmp_path)) for source in ("https://a/", "http://a", str(tmp_path / "file"), "b")]
    assert kinds == [HttpFetcher, HttpFetcher, TarFetcher, FolderFetcher]
    assert fetcher_for("https://a.test/x/", tmp_path).base == "https://a.test/x"


# -- root's copy -------------------------------------------------------------------------------------------------------

NOW = ClockReading(BootNs(0), UtcNs(1_800_000_000_123_456_789), ClockQuality.SYNCED)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(release_store, "ReleaseClient", made)
    monkeypatch.setattr(release_store, "FolderFetcher", lambda *of: of)
    monkeypatch.setattr(release_store, "require_room", lambda *of: made.calls.append(("room", *of)))
    return made


def test_root_verifies_copies_and_tells_in_this_order(client: Client, tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path, b"the first root", MACHINE)
    trusted, targets = tmp_path / "trusted", tmp_path / "repository" / "targets"
    targets.mkdir(parents=True)
    (targets / "an older package").touch()
    source: Any = "source"
    assert store.admit(source, NOW) is OFFER
    wanted = targets / f"0.{PACKAGE.name}"
    assert client.calls == [
        ("made", "source", trusted, b"the first root"),
        ("refresh",),
        ("newest", "0.2.0", "arm64", "13"),
        ("metadata", tmp_path / "repository" / "metadata"),
        ("has", PACKAGE, wanted),
        ("room", tmp_path, 3500),
        ("download", PACKAGE, wanted),
    ]
    assert list(targets.iterdir()) == []
    assert trusted.is_dir()
    change = store.state.change
    assert change is not None
    good = UpdateState(v=1, running="0.2.0", checked_ms=1_800_000_000_123, offer=OFFER, change=change, floor="0.1.5")
    assert store.state == good
    store.report(UpdateTrouble.NETWORK)
    assert store.state == replace(good, trouble=UpdateTrouble.NETWORK)
    client.refresh = lambda: (_ for _ in ()).throw(NetworkError("away"))  # type: ignore[method-assign]
    with pytest.raises(NetworkError):
        store.admit(source, NOW)
    assert store.state.trouble is UpdateTrouble.NETWORK


def test_what_is_installed_is_verified_once_more_from_roots_own_copy(client: Client, tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path, b"the first root", MACHINE)
    client.there = True
    wanted = tmp_path / "repository" / "targets" / f"0.{PACKAGE.name}"
    assert store.package(OFFER, NOW) == wanted
    assert client.calls == [
        ("made", (tmp_path / "repository", tmp_path), tmp_path / "trusted", b"the first root"),
        ("refresh",),
        ("newest", "0.2.0", "arm64", "13"),
        ("has", PACKAGE, wanted),
    ]
    client.there = False
    with pytest.raises(UpdateError, match="The stored package is damaged"):
        store.package(OFFER, NOW)
    client.found = None
    with pytest.raises(UpdateError, match="Another version is on offer now"):
        store.package(OFFER, NOW)
    with pytest.raises(UpdateError):
        store.package(OFFER, ClockReading(BootNs(0), UtcNs(0), ClockQuality.UNKNOWN))

"""Clips are kept where the owner likes, once each, and nowhere half."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.clients.media.join import probe
from agent.clients.owner.clip_archive import (
    BackupReport,
    BackupTarget,
    FolderBackup,
    WebDavBackup,
    _over_tls,
    back_up_clips,
)
from agent.clients.owner.segment_sources import DeviceVault
from agent.clients.owner.sync import sync
from agent.errors import ConfigurationError, NetworkError
from tests.clients.owner.conftest import NOW_MS, WINDOW_MS, Home


class DavServer:
    """A folder by WebDAV: PUT, HEAD and MOVE, for one user.  `breaks_off`: no answer to the next PUT."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.breaks_off = False
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                server.asked.append(self.command)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                expected = "Basic " + base64.b64encode(b"ann:a secret").decode()
                if self.headers.get("Authorization") != expected:
                    self.answer(401)
                elif self.command == "PUT":
                    server.files[self.path] = body[: len(body) // 2] if server.breaks_off else body
                    if server.breaks_off:
                        self.connection.close()
                        return
                    self.answer(201)
                elif self.command == "MOVE" and self.headers.get("Overwrite") != "T":
                    self.answer(412)  # what some servers answer by default to a second attempt
                elif self.command == "MOVE":
                    server.files[urlsplit(self.headers["Destination"]).path] = server.files.pop(self.path)
                    self.answer(201)
                else:
                    self.answer(200 if self.path in server.files else 404)

            do_PUT = do_HEAD = do_MOVE = handle_one  # noqa: N815

            def answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/dav/door bell"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))


@pytest.fixture
def dav() -> Iterator[DavServer]:
    running = DavServer()
    running.thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    running.thread.join()


def keep(home: Home, deposit: BackupTarget, now_ms: int = NOW_MS) -> list[BackupReport]:
    vault = DeviceVault(home.device, sync(home.device, home.keys).key)
    return list(back_up_clips(vault, [home.keys.identity], deposit, since_ms=WINDOW_MS, now_ms=now_ms))


def test_every_clip_comes_to_the_folder_once(home: Home, tmp_path: Path) -> None:
    first = keep(home, FolderBackup(tmp_path))
    films = sorted(tmp_path.glob("*.mp4"))
    assert len(films) == len(first) == 2
    assert probe(films[0]).frames == 40
    assert films[0].stat().st_mode & 0o777 == 0o600
    assert keep(home, FolderBackup(tmp_path)) == []
    films[0].unlink()
    assert len(keep(home, FolderBackup(tmp_path))) == 1
    assert not list(tmp_path.glob(".*.part"))


def test_a_clip_that_may_still_grow_waits(home: Home, tmp_path: Path) -> None:
    assert keep(home, FolderBackup(tmp_path), now_ms=WINDOW_MS + 1000) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        FolderBackup(tmp_path / "not mounted")


def test_webdav_gets_the_same_files_under_their_names_when_they_are_whole(
    home: Home, dav: DavServer, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    keep(home, FolderBackup(kept))
    keep(home, WebDavBackup(dav.url, "ann", "a secret"))
    names = {f"/dav/door%20bell/{path.name}": path.read_bytes() for path in kept.iterdir()}
    assert dav.files == names
    dav.asked.clear()
    assert keep(home, WebDavBackup(dav.url, "ann", "a secret")) == []
    assert set(dav.asked) == {"HEAD"}


def test_an_upload_that_breaks_off_leaves_no_film_and_is_done_next_time(home: Home, dav: DavServer) -> None:
    dav.breaks_off = True
    with pytest.raises(NetworkError):
        keep(home, WebDavBackup(dav.url, "ann", "a secret"))
    assert not any(name.endswith((".mp4", ".jpg")) for name in dav.files)
    dav.breaks_off = False
    assert len(keep(home, WebDavBackup(dav.url, "ann", "a secret"))) == 2


def test_a_wrong_password_is_told_and_not_shown(home: Home, dav: DavServer) -> None:
    with pytest.raises(NetworkError, match="401") as refused:
        keep(home, WebDavBackup(dav.url, "ann", "another secret"))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://cloud.example/dav", "ftp://cloud.example/", "https://ann:pw@cloud.example/"])
def test_footage_goes_over_https_and_passwords_do_not_stand_in_addresses(url: str) -> None:
    with pytest.raises(ConfigurationError):
        WebDavBackup(url)


@pytest.mark.parametrize(
    ("address", "path"),
    [("", "/clip.mp4"), ("/", "/clip.mp4"), ("/BOX", "/BOX/clip.mp4"), ("/BOX/a%20b//", "/BOX/a%20b/clip.mp4")],
)
def test_a_file_lies_below_the_address_whether_it_ends_with_a_slash_or_not(address: str, path: str) -> None:
    asked: list[str] = []

    class Noted(HTTPConnection):
        def request(self, method: str, url: str, *_: object, **__: object) -> None:
            asked.append(url)
            raise OSError("no network in this test")

    with pytest.raises(NetworkError):
        WebDavBackup(f"https://cloud.example{address}", connect=Noted).has("clip.mp4")
    assert asked == [path]


@pytest.mark.parametrize(
    ("url", "port"), [("https://cloud.example/dav", 443), ("https://cloud.example:8443/dav", 8443)]
)
def test_a_server_is_reached_at_the_port_of_its_address(url: str, port: int) -> None:
    reached: list[tuple[str, int]] = []

    class Unreachable(HTTPConnection):
        def connect(self) -> None:
            reached.append((self.host, self.port))
            raise OSError("no network in this test")

    with pytest.raises(NetworkError):
        WebDavBackup(url, connect=Unreachable).has("clip.mp4")
    assert reached == [("cloud.example", port)]


def test_a_connection_is_closed_whatever_became_of_it() -> None:
    closed: list[str] = []

    class Counted(HTTPConnection):
        def request(self, method: str, *_rest: object, **_named: object) -> None:
            self._asked = method

        def getresponse(self) -> Any:
            if closed:
                raise OSError("the second one breaks off")
            return SimpleNamespace(read=lambda: b"", status=404)

        def close(self) -> None:
            closed.append(self._asked)

    backup = WebDavBackup("https://cloud.example", connect=Counted)
    assert not backup.has("clip.mp4")
    with pytest.raises(NetworkError):
        backup.has("clip.mp4")
    assert closed == ["HEAD", "HEAD"]


def test_a_server_behind_tls_must_prove_its_name() -> None:
    connection = _over_tls("nas.example", 8443)
    assert (connection.host, connection.port) == ("nas.example", 8443)
    assert connection.timeout == 60
    context = connection._context
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)

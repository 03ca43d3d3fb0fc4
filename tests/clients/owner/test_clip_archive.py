"""Clips are kept where the owner likes, once each, and nowhere half."""

from __future__ import annotations

import base64
import shutil
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
from agent.clients.owner import clip_archive
from agent.clients.owner.clip_archive import (
    BackupReport,
    BackupTarget,
    FolderBackup,
    WebDavBackup,
    _over_tls,
    back_up_clips,
)
from agent.clients.owner.mp4_export import stem_of
from agent.clients.owner.segment_sources import EVERYTHING_MS, DeviceVault, ListedSegment
from agent.clients.owner.sync import sync
from agent.core.timebase import ClockQuality
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


# -- call by call ------------------------------------------------------------------------------------------------------


class Shelf:
    """A target that notes what is asked of it."""

    def __init__(self, *names: str) -> None:
        self.names, self.put_in, self.asked = set(names), list[tuple[str, bytes]](), list[str]()

    def has(self, name: str) -> bool:
        self.asked.append(name)
        return name in self.names

    def put(self, file: Path, name: str) -> None:
        assert file.parent.name.startswith("doorward-export-")
        self.put_in.append((name, file.read_bytes()))


def one_clip(start_ms: int, end_ms: int, event: str) -> ListedSegment:
    return ListedSegment(event, event, 0, start_ms, end_ms, ClockQuality.SYNCED, 1, False, True)


def test_each_finished_clip_that_is_missing_is_put_there_with_its_film_last(monkeypatch: pytest.MonkeyPatch) -> None:
    since_ms, now_ms = 1_000_000_000_000, 1_000_000_900_000
    settled_ms = now_ms - 120_000
    clips = [
        one_clip(since_ms - 1, settled_ms, "a-before"),
        one_clip(since_ms, settled_ms, "b-earliest"),
        one_clip(since_ms + 5000, settled_ms + 1, "c-grows"),
        one_clip(since_ms + 10_000, settled_ms, "d-there"),
        one_clip(since_ms + 15_000, settled_ms, "e-latest"),
    ]
    shelf = Shelf(f"{stem_of([clips[3]])}.mp4")
    asked: list[tuple[int, int]] = []

    def listed(from_ms: int, to_ms: int) -> list[ListedSegment]:
        asked.append((from_ms, to_ms))
        return clips

    source: Any = SimpleNamespace(listed=listed)

    def export(_source: object, identities: object, clip: Any, out: Path, *, media: object) -> Any:
        assert (identities, media) == (["identity"], "media")
        film = out / "b.mp4"
        for path in (film, out / "a.jpg", out / "c.mp4"):
            path.write_bytes(f"{path.name} of {clip[0].event}".encode())
        return SimpleNamespace(video=film, notes=(f"notes of {clip[0].event}",))

    monkeypatch.setattr(clip_archive, "export_clip", export)
    identities: Any = ["identity"]
    media: Any = "media"
    reports = list(clip_archive._deposit_clips(source, identities, shelf, since_ms, now_ms, media))
    assert reports == [
        BackupReport(("a.jpg", "c.mp4", "b.mp4"), (f"notes of {event}",)) for event in ("b-earliest", "e-latest")
    ]
    assert shelf.put_in == [
        (name, f"{name} of {event}".encode())
        for event in ("b-earliest", "e-latest")
        for name in ("a.jpg", "c.mp4", "b.mp4")
    ]
    assert shelf.asked == [f"{stem_of([clip])}.mp4" for clip in (clips[1], *clips[3:])]
    assert asked == [(since_ms, EVERYTHING_MS)]


def test_a_file_in_a_folder_is_private_and_takes_the_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, modes = shutil.copyfile, list[int]()

    def watched(source: Path, target: Path) -> None:
        modes.append(target.stat().st_mode & 0o777)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", watched)
    film = tmp_path / "film"
    film.write_bytes(b"new")
    film.chmod(0o644)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "clip.mp4").write_bytes(b"old")
    backup = FolderBackup(kept)
    assert (backup.has("clip.mp4"), backup.has("other.mp4")) == (True, False)
    (kept / ".clip.mp4.part").touch(0o644)
    backup.put(film, "clip.mp4")
    assert modes == [0o600], "before the first byte"
    assert [(path.name, path.read_bytes()) for path in kept.iterdir()] == [("clip.mp4", b"new")]
    assert (kept / "clip.mp4").stat().st_mode & 0o777 == 0o600


class Answers:
    """In place of a connection: it notes each request, and answers with the next status."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.requests, self.closed, self.read = list(statuses), list[tuple[object, ...]](), 0, 0

    def __call__(self, host: str, port: int) -> Any:
        self.requests.append((host, port))
        return self

    def request(self, method: str, url: str, body: Any, headers: dict[str, str]) -> None:
        self.requests.append((method, url, None if body is None else body.read(), headers))

    def getresponse(self) -> Any:
        def read() -> None:
            self.read += 1

        return SimpleNamespace(read=read, status=self.statuses.pop(0))

    def close(self) -> None:
        self.closed += 1


def test_a_file_is_sent_under_another_name_and_renamed_when_it_is_whole(tmp_path: Path) -> None:
    film, answers = tmp_path / "film", Answers(201, 204, 200)
    film.write_bytes(b"12345")
    backup = WebDavBackup("https://cloud.example/door bell/", "ann", "pw", connect=answers)
    backup.put(film, "clip 1.mp4")
    assert backup.has("clip 1.mp4") is True
    sign_in = {"Authorization": "Basic " + base64.b64encode(b"ann:pw").decode()}
    target = "https://cloud.example/door%20bell/clip%201.mp4"
    there = ("cloud.example", 443)
    assert answers.requests == [
        there,
        ("PUT", "/door%20bell/.clip%201.mp4.part", b"12345", {**sign_in, "Content-Length": "5"}),
        there,
        ("MOVE", "/door%20bell/.clip%201.mp4.part", None,
         {**sign_in, "Destination": target, "Overwrite": "T", "Content-Length": "0"}),
        there,
        ("HEAD", "/door%20bell/clip%201.mp4", None, {**sign_in, "Content-Length": "0"}),
    ]  # fmt: skip
    assert (answers.closed, answers.read) == (3, 3)


def test_without_a_user_no_password_is_sent() -> None:
    answers = Answers(404)
    assert WebDavBackup("https://cloud.example", connect=answers).has("clip.mp4") is False
    assert answers.requests[1] == ("HEAD", "/clip.mp4", None, {"Content-Length": "0"})


@pytest.mark.parametrize(
    ("statuses", "verb"), [((500,), "PUT"), ((201, 500), "MOVE"), ((300,), "PUT"), ((199,), "PUT")]
)
def test_a_server_that_refuses_a_file_is_told_with_the_step(
    tmp_path: Path, statuses: tuple[int, ...], verb: str
) -> None:
    (tmp_path / "film").write_bytes(b"12345")
    with pytest.raises(NetworkError) as refused:
        WebDavBackup("https://cloud.example", connect=Answers(*statuses)).put(tmp_path / "film", "clip.mp4")
    assert refused.value.message == f"The WebDAV server refused a file ({verb}): it answered {statuses[-1]}."
    assert refused.value.remedy == "Check that the folder exists there."


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "Check user and password."),
        (403, "Check user and password."),
        (405, "Check that the folder exists there."),
    ],
)
def test_a_server_that_refuses_the_question_is_told_with_what_to_check(status: int, remedy: str) -> None:
    with pytest.raises(NetworkError) as refused:
        WebDavBackup("https://cloud.example", connect=Answers(status)).has("clip.mp4")
    assert refused.value.message == f"The WebDAV server refused a file (HEAD): it answered {status}."
    assert refused.value.remedy == remedy


@pytest.mark.parametrize("status", [200, 299])
def test_each_answer_of_success_counts(status: int) -> None:
    assert WebDavBackup("https://cloud.example", connect=Answers(status)).has("clip.mp4") is True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_on_this_machine_a_server_may_be_without_tls(host: str) -> None:
    backup = WebDavBackup(f"http://{host}/dav")
    connection = backup._connect(backup._host, backup._port)
    assert type(connection) is HTTPConnection
    assert (connection.host, connection.port, connection.timeout) == (host.strip("[]"), 80, 60)


def test_a_server_that_cannot_be_reached_is_named_with_what_happens_next() -> None:
    def unreachable(_host: str, _port: int) -> Any:
        def request(*_arguments: object) -> None:
            raise ConnectionRefusedError

        return SimpleNamespace(request=request, close=lambda: None)

    with pytest.raises(NetworkError) as refused:
        WebDavBackup("https://cloud.example", "ann", "pw", connect=unreachable).has("clip.mp4")
    assert refused.value.message == "The WebDAV server cloud.example cannot be reached (ConnectionRefusedError)."
    assert refused.value.remedy == "Check the address and the network. The next run uploads the missing clips."


@pytest.mark.parametrize(
    ("field", "value"),
    [("event", "../../../../home/ann/a"), ("id", "/etc/hosts"), ("start_ms", 10**18), ("end_ms", -(10**18))],
)
def test_what_an_altered_device_lists_gets_no_strange_name_or_time_into_a_path(
    home: Home, field: str, value: object
) -> None:
    def lie(result: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        result["segments"][0][field] = value
        return result, data

    home.device.lies["list"] = lie
    with pytest.raises(NetworkError, match="list of segments cannot be read"):
        DeviceVault(home.device, home.device.key).listed()

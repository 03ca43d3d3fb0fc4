"""A door with only a page, and callers without a browser: they send exactly the bytes they want."""

from __future__ import annotations

import http.client
import io
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import load
from agent.custodian.page.app import COOKIE, FRAME_TYPE
from agent.custodian.page.operations import Login
from agent.custodian.state_folder import StateFolder
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import OPERATIONS
from agent.ipc.rpc import read_answer
from agent.solo import Solo
from agent.wire import envelope, strictjson
from agent.wire.control import Frame, read_frame, write_frame
from agent.wire.identities import private_key_from_seed

CONFIGURATION = """\
[device]
name = "front-door"
state_dir = "{state}"
[camera]
kind = "usb"
device = "/dev/video-that-is-not-there"
[page]
host = "127.0.0.1"
port = 0
addresses = ["127.0.0.1"]
mdns = false
"""
NAME = "front-door.local"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def frame(self) -> Frame:
        found = read_frame(io.BytesIO(self.body))
        assert found is not None
        return found


class Client:
    """A caller of a page at `port` of this machine.  `ask` is one HTTPS request with exactly the headers given."""

    def __init__(self, port: int, authority: bytes, code: Callable[[], str]) -> None:
        """`authority`: DER.  `code`: prints a code that lets a browser in."""
        self.port = port
        self.host = f"{NAME}:{port}"
        self.code = code
        self.address = "127.0.0.1"
        """From which it calls."""
        self.called = "127.0.0.1"
        """The address of the page that it calls."""
        self._context = ssl.create_default_context(cadata=authority)
        self.keeps_connection = False
        """Whether its requests share a connection. A new one costs both sides a handshake of milliseconds."""
        self._kept: http.client.HTTPSConnection | None = None

    def ask(
        self, method: str, path: str, body: bytes = b"", *, cookie: str | None = None, **headers: str | None
    ) -> Answer:
        """`headers`: names with underscores; None leaves one out.  The defaults are our own page's."""
        sent: dict[str, str | None] = {"host": self.host}
        if method == "POST":
            sent |= {"origin": f"https://{self.host}", "sec-fetch-site": "same-origin", "content-type": FRAME_TYPE}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie is not None:
            sent["cookie"] = f"{COOKIE}={cookie}"
        try:
            return self._asked(self._kept or self._connection(), method, path, body, sent)
        except (ConnectionError, http.client.RemoteDisconnected):
            if self._kept is None:
                raise
            self.drop_connection()  # the server has ended it meanwhile
            return self._asked(self._connection(), method, path, body, sent)

    def _connection(self) -> http.client.HTTPSConnection:
        # Verified by the address: the test then says any Host it likes.
        return http.client.HTTPSConnection(
            self.called, self.port, context=self._context, timeout=20, source_address=(self.address, 0)
        )

    def drop_connection(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _asked(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: bytes, sent: dict[str, str | None]
    ) -> Answer:
        self._kept = connection if self.keeps_connection else None
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            if self._kept is None:
                connection.close()

    def ask_plainly(self, method: str, path: str, host: str | None = None) -> Answer:
        """The same over plain HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={"host": host or f"127.0.0.1:{self.port}"})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def op(self, name: str, cookie: str | None = None, body: bytes = b"", /, **head: Any) -> Answer:
        answer = self.ask("POST", f"/api/{name}", write_frame(Frame(head, body)), cookie=cookie)
        if answer.status == 200:
            read_answer(OPERATIONS[name].request, answer.frame.head)
        return answer

    def pair(self) -> str:
        """A paired browser's cookie."""
        paired = self.ask("POST", "/pair", write_frame(Frame({"code": self.code()})))
        assert paired.status == 200
        return cookie_of(paired)

    def prove(self, cookie: str, key: Ed25519PrivateKey, **changes: str) -> Answer:
        """Sign the challenge with `key`; `changes` to what is signed."""
        challenge = self.op("page_challenge", cookie).frame.head["result"]["challenge"]
        device = self.op("device", cookie).frame.head["result"]["device"]
        said = {"device": device, "origin": f"https://{self.host}", "challenge": challenge} | changes
        signed = envelope.sign(Login.PAYLOAD_TYPE, strictjson.encode(Login(v=1, **said)), key)
        return self.op("page_prove", cookie, envelope=signed.decode())

    def owner(self, keys: OwnerKeys) -> str:
        """An owner's cookie."""
        proved = self.prove(self.pair(), keys.approval)
        assert proved.status == 200, proved.body
        return cookie_of(proved)


class Door(Client):
    """A device with its page, and a caller of it."""

    def __init__(self, folder: Path, port: int = 0, sections: str = "") -> None:
        """`port`: 0 takes a free one. `sections`: more of the configuration."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        state = folder / "device"
        if not state.exists():
            StateFolder(state).initialise(private_key_from_seed(secrets.token_bytes(32)))
        configuration = CONFIGURATION.format(state=state).replace("port = 0", f"port = {port}")
        (folder / "doorward.toml").write_text(configuration + sections)
        self.solo = Solo(load(folder / "doorward.toml"))
        self.solo.start()
        self._running: Solo | None = self.solo
        assert self.solo.page is not None
        self.page = self.solo.page
        super().__init__(self.page.port, self.page.certificates.authority_der, self._printed)

    def _printed(self) -> str:
        return str(self.page.answer(Frame({"op": "page_code"})).head["result"]["code"])

    def close(self) -> None:
        """Idempotent."""
        self.drop_connection()
        solo, self._running = self._running, None
        if solo is not None:
            solo.stop()
            solo.close()

    def claim(self) -> OwnerKeys:
        """Give it an owner, beside the page: through the control socket."""
        keys = OwnerKeys.create(self.folder / f"owner-{secrets.token_hex(3)}", name="owner-1")
        with DeviceLink(self.folder / "device" / "control.sock") as link:
            enrol(link, keys)
        return keys


def cookie_of(answer: Answer) -> str:
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == COOKIE
    return rest.split(";")[0]


@contextmanager
def a_door(folder: Path, port: int = 0, sections: str = "") -> Iterator[Door]:
    door = Door(folder, port, sections)
    try:
        yield door
    finally:
        door.close()


__all__ = ["NAME", "Answer", "Client", "Door", "a_door", "cookie_of"]

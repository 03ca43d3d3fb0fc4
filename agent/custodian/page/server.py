"""Serves the page in a thread of the device: HTTPS on the local network, off unless the configuration has `[page]`.

The network may come later than the page (a router takes minutes after a power cut), and give other addresses tomorrow.
So it is looked at every few seconds: a new one is told the page's name, and its addresses are ours from then on.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn

from agent.config.settings import PageConfig
from agent.core.networks import dns_label, served_at
from agent.core.timebase import NS_PER_S
from agent.custodian.camera_setup import CameraSetup
from agent.custodian.control_handler import Answer, Control
from agent.custodian.enrolment import Enrolments
from agent.custodian.live_buffer import Viewer
from agent.custodian.page.app import Application, build
from agent.custodian.page.button_code import ButtonCode
from agent.custodian.page.certificate_authority import PageCertificates
from agent.custodian.page.documents import Pages
from agent.custodian.page.domain_certificate import DomainCertificate
from agent.custodian.page.listener import IDLE_S, ConnectionPriority, PageHttpServer, PageListener
from agent.custodian.page.mdns import MdnsAnnouncement, Network, network, own_addresses
from agent.custodian.page.operations import GlanceKeys, PageOperations
from agent.custodian.page.request_guard import Caller
from agent.custodian.page.sessions import CODE_LIFE_S, Sessions, code_text
from agent.custodian.timeline import Timeline
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.ipc.control_operations import GetLiveGops, read_operation
from agent.ports import Clock, Entropy, ManifestLog
from agent.wire.control import Frame

__all__ = ["PageDeps", "PageServer"]

_START_S: Final = 20.0
_STOP_S: Final = 3
_BACKLOG: Final = 128
_LOOK_S: Final = 10.0
_PORT_S: Final = 10.0
"""Between two tries to get the port."""

_BUTTON: Final = "button"
"""The kind of the code of a long press (`Sessions.make_code`)."""


@dataclass(frozen=True, slots=True)
class PageDeps:
    """The device's parts under the page. `facts`: settings it shows, free of secrets. `relay`: the origin of the relay
    that the page may connect to, or nothing."""

    control: Control
    enrolments: Enrolments
    manifest: ManifestLog
    clock: Clock
    entropy: Entropy
    facts: Callable[[], Mapping[str, Any]]
    live: Callable[[Viewer, GetLiveGops], Answer]
    relay: str = ""
    set_up: CameraSetup | None = None
    glances: GlanceKeys = field(default_factory=GlanceKeys)
    tell_held: Callable[[], None] = lambda: None
    """Alerts the owners that the button was held, and that a code can be fetched."""
    believed_ms: Callable[[], int] | None = None
    """UTC in ms, before a jump of the clock until it is confirmed. None: the time of `clock`."""


class PageServer:
    """`start` returns once it answers, or tries again until it can; `stop` joins the threads.  `answer` handles the
    control socket."""

    def __init__(self, settings: PageConfig, folder: Path, doorbell: str, parts: PageDeps) -> None:
        """`folder`: where certificates and `page.sqlite` lie.  Raises `ConfigurationError`, `StorageError`."""
        self._settings = settings
        self._name = f"{settings.name or _dns_name(doorbell)}.local"
        self._clock = parts.clock
        self._relay = parts.relay
        self._log = structlog.get_logger("page")
        addresses = self._served(network())
        self.certificates = PageCertificates(folder, self._name, addresses, self._now())
        self._domain = DomainCertificate(folder, settings.domain) if settings.domain else None
        set_up, believed_ms = parts.set_up, parts.believed_ms
        self._sessions = Sessions(
            folder / "page.sqlite",
            parts.entropy,
            lambda: parts.clock.now().utc_ns // NS_PER_S,
            set_up.lets_in if set_up is not None else lambda _typed: None,
            None if believed_ms is None else lambda: believed_ms() // 1000,
            parts.enrolments.has_left,
        )
        self.button = self._make_button(parts)
        """Takes long presses of the button."""
        pages = Pages(
            doorbell,
            self.certificates.authority_der,
            self.certificates.fingerprint,
            lambda: (self.url, self.install_url),
            set_up.proof if set_up is not None else lambda _authority: None,
            self.button.sealed,
        )
        self._operations = PageOperations(
            parts.control,
            parts.enrolments,
            Timeline(parts.manifest),
            self._sessions,
            parts.entropy,
            facts=parts.facts,
            program=pages.version,
            live=parts.live,
            glances=parts.glances,
            trust=lambda: {"install": self.install_url, "fingerprint": self.certificates.fingerprint},
        )
        self.answer_in_link = self._operations.answer_in_link
        self._application = Application(self._operations, self._sessions, pages, self._know)
        self._connections: PageListener | None = None
        self._addresses = addresses
        self._hosts: frozenset[str] = frozenset()
        self._network: Network | None = None
        """Addresses on which the name was announced."""
        self._control = parts.control
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._announcement: MdnsAnnouncement | None = None
        self._looking: threading.Thread | None = None
        self._waiting: threading.Thread | None = None
        self._leaving = threading.Event()
        self.port = settings.port
        self.fault = ""
        """Why no browser can open the page; empty if one can."""

    @property
    def url(self) -> str:
        """Returns the page's address, by name: by the household's domain if its certificate counts."""
        return f"https://{_host(self._settings.domain if self._is_trusted() else self._name, self.port)}/"

    @property
    def urls(self) -> list[str]:
        """Returns its other addresses, for machines without multicast DNS. Loopback only if there is no other."""
        elsewhere = [each for each in self._addresses if not ipaddress.ip_address(each).is_loopback]
        return [f"https://{_host(_bracketed(address), self.port)}/" for address in elsewhere or self._addresses]

    @property
    def install_url(self) -> str:
        """Returns the authority's address, over plain HTTP, which a browser opens free of warnings.

        By address if there is one: not every phone resolves `.local` names.
        """
        found = sorted(self._addresses, key=_reach)
        return f"http://{_bracketed(found[0]) if found else self._name}:{self.port}/install"

    def start(self) -> None:
        """Answers from now on. If the port cannot be had, it tries again every `_PORT_S`.

        Another program may have the port, or the router gives the configured address later. The recorder needs this
        process meanwhile.  Raises `NetworkError` if the server does not start.
        """
        self._leaving.clear()
        try:
            listener = self._listen()
        except NetworkError as error:
            self.fault = str(error)
            self._log.error("page_not_served", reason=error.message, remedy=error.remedy)
            # The page is a part of the custodian, which the recorder needs: a port in use must not end the process.
            self._waiting = threading.Thread(target=self._wait_for_port, name="page port")
            self._waiting.start()
            return
        self._serve(listener)

    def _wait_for_port(self) -> None:
        while not self._leaving.wait(_PORT_S):
            try:
                self._serve(self._listen())
            except NetworkError as error:
                self.fault = str(error)
            else:
                return

    def _serve(self, listener: socket.socket) -> None:
        self.port = listener.getsockname()[1]
        self._answer_to(self._addresses)
        config = uvicorn.Config(
            build(self._application, lambda: self._hosts, self._relay),
            # The listener adds its time limits to uvicorn's protocol over h11.
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            # Addresses and times of a household's browsers are no business of the log.
            access_log=False,
            server_header=False,
            # No proxy stands before the page. A stranger could otherwise write another address into `X-Forwarded-For`,
            # and waiting times go by address.
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_S),
            timeout_graceful_shutdown=_STOP_S,
        )
        config.load()
        self._connections = PageListener(listener, self._tls())
        server = self._server = PageHttpServer(config, self._connections)
        # A daemon: a browser that keeps a connection open must not keep the process from ending.
        self._thread = threading.Thread(target=server.run, args=([listener],), name="page", daemon=True)
        self._thread.start()
        waited = threading.Event()
        # uvicorn tells its start by a flag only.
        for _ in range(int(_START_S * 100)):
            if server.started:
                break
            waited.wait(0.01)
        else:
            server.should_exit = True
            listener.close()  # another start can have the port
            raise NetworkError("The page does not start.", remedy="Look at the log.")
        self.fault = ""
        self._looking = threading.Thread(target=self._keep_reachable, name="page network")
        self._looking.start()
        self._log.info("page_served", url=self.url)

    def stop(self) -> None:
        """Idempotent."""
        self._leaving.set()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.join()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.join()
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            announcement.stop()
        server, self._server = self._server, None
        if server is not None:
            server.should_exit = True
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def close(self) -> None:
        self._sessions.close()

    def answer(self, frame: Frame) -> Frame:
        """The control socket's handler: two operations for the terminal, everything else is the device's.

        Answers on the operator's own socket, out of reach of the page's routes.
        """
        op = frame.head.get("op")
        if op not in ("page_code", "page_authority"):
            return self._control.answer(frame)
        read_operation(op, frame)
        result: dict[str, Any] = {
            "url": self.url,
            "urls": self.urls,
            "install": self.install_url,
            "fingerprint": self.certificates.fingerprint,
        }
        if op == "page_code":
            result |= {
                "code": code_text(self._sessions.make_code("printed")),
                "life_s": CODE_LIFE_S,
                "trusted": self._is_trusted(),
            }
        return Frame({"ok": True, "result": result}, self.certificates.authority_der)

    def _know(self, connection: object, caller: Caller) -> None:
        """An owner's connection is kept when there are too many."""
        if self._connections is not None and caller.session is not None:
            self._connections.set_priority(
                connection, ConnectionPriority.OWNER if caller.owner else ConnectionPriority.PAIRED
            )

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock.now().utc_ns / NS_PER_S, datetime.UTC)

    def _make_button(self, parts: PageDeps) -> ButtonCode:
        return ButtonCode(
            parts.clock,
            lambda: self._sessions.make_code(_BUTTON, _approvers(parts.enrolments)),
            lambda: self._sessions.has_code(_BUTTON),
            parts.enrolments,
            parts.tell_held,
        )

    def _served(self, found: Network) -> tuple[str, ...]:
        """The configured addresses, or those of this machine that the listener answers at."""
        return self._settings.addresses or served_at(self._settings.host, own_addresses(found))

    def _answer_to(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses
        own = (self._domain.domain,) if self._domain is not None else ()
        # One assignment of a new set: the event loop reads it on another thread without a lock.
        self._hosts = frozenset(f"{name}:{self.port}" for name in (self._name, *own, *map(_bracketed, addresses)))

    def _is_trusted(self) -> bool:
        return self._domain is not None and self._domain.is_valid(self._now())

    def _tls(self) -> ssl.SSLContext:
        """Returns the context of the own authority, which gives way to that of the domain for browsers that ask."""
        context = self.certificates.context()
        domain = self._domain
        if domain is None:
            return context
        self._take_domain_certificate(domain)

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _first: ssl.SSLContext) -> None:
            if (chosen := domain.context_for(name)) is not None:
                connection.context = chosen

        context.sni_callback = choose
        return context

    def _take_domain_certificate(self, domain: DomainCertificate) -> None:
        """A file that does not fit is no reason to stop: the page goes on with the certificate that it has."""
        try:
            if domain.look():
                self._log.info("page_domain_certificate", domain=domain.domain)
        except (ConfigurationError, StorageError) as error:
            self._log.warning("page_domain_certificate_refused", reason=str(error))

    def _keep_reachable(self) -> None:
        while True:
            try:
                self._look()
            except (OSError, StorageError) as error:
                self._log.warning("page_not_reachable", reason=str(error))
            if self._leaving.wait(_LOOK_S):
                return

    def _look(self) -> None:
        """Be found where the network is now."""
        found = network()
        if found != self._network:
            self._network = found
            self._answer_to(self._served(found))
            if self._announcement is not None:
                self._announcement.stop()
            if self._settings.mdns:
                self._announcement = MdnsAnnouncement(self._name, self._addresses, self.port)
                self._announcement.start()
        self.certificates.certify(self._addresses, self._now())
        if self._domain is not None:
            self._take_domain_certificate(self._domain)

    def _listen(self) -> socket.socket:
        address = ipaddress.ip_address(self._settings.host)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        try:
            return socket.create_server(
                (self._settings.host, self._settings.port),
                family=family,
                # Otherwise Python sets IPV6_V6ONLY, and a browser with IPv4 gets no answer.
                dualstack_ipv6=self._settings.host == "::",
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise NetworkError(
                f"The page cannot listen on {self._settings.host} port {self._settings.port}: {error.strerror}.",
                remedy="Choose another page.port, or stop what has this one.",
            ) from error


def _approvers(enrolments: Enrolments) -> Iterable[str]:
    """Returns the key ids of all owners: the code of a long press is sealed to each of them."""
    return enrolments.current.approver_keys if enrolments.current is not None else ()


def _dns_name(doorbell: str) -> str:
    """The doorbell's name as a DNS label.  Raises `ConfigurationError`."""
    label = dns_label(doorbell)
    if label is None:
        raise ConfigurationError(f"'{doorbell}' makes no network name.", remedy='Give one: page.name = "front-door".')
    return label


def _host(name: str, port: int) -> str:
    """Writes a host as browsers do: without a scheme's default port."""
    return name if port == 443 else f"{name}:{port}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _reach(address: str) -> tuple[bool, bool, bool]:
    """Sorts first what most machines of a household reach: IPv4 before IPv6, link-local and loopback last."""
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback, parsed.is_link_local, parsed.version == 6

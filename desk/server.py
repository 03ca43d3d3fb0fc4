"""The service: HTTPS for the pages, a receiver for each organisation, and web hooks. `doorward-desk serve` runs it."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from agent.errors import ConfigurationError, NetworkError
from agent.platform.metrics_server import MetricsServer
from agent.platform.stop_signals import StopSignals
from desk.api.hook_sender import hook_sender
from desk.backup import wipe_copies
from desk.cases.films import close_films, open_films
from desk.certificates import made_certificate
from desk.config import DeskConfig, Web
from desk.export.private_folder import wipe_orphans
from desk.figures import page_of_thread
from desk.neighbourhood.submissions import neighbour_clock
from desk.neighbourhood.tip_relay import tip_relay
from desk.people.one_time_links import make_first_admin_link
from desk.people.organisations import worker_of
from desk.people.session_ends import session_clock
from desk.receiving.broker_connection import open_bus
from desk.receiving.supervisor import Supervisor
from desk.receiving.worker_figures import WorkerFigures
from desk.reminders.mailer import reminder_mailer
from desk.request_bounds import HeadLimit
from desk.service_status import ALIVE_EVERY_S, ServiceStatus
from desk.storage.shared_parts import check_storage
from desk.storage.shared_stores import watched_servers
from desk.trust.root_publisher import root_publisher

__all__ = ["run"]

_STOP_S: Final = 5
_HEADER_BYTES: Final = 32 * 1024


def run(config: DeskConfig, say: Callable[[str], object]) -> None:
    """Serves until SIGTERM or Ctrl-C. Prints the address, and at the first start the link of the first admin."""
    _check_storage(config, say)
    _require_free(config.web)
    address = config.address
    status = ServiceStatus(f"Serves {address}.")
    server = _Server(_settings(config, say, status), status)
    token = make_first_admin_link()
    if token:
        say(f"Open this link once, to become the admin of the desk:\n\n  {address}/link/{token}\n")
    else:
        say(f"The desk is at {address}/ (stop: Ctrl-C).")
    open_films()  # at the start, because it wipes what a killed process left
    wipe_orphans()  # likewise, of exports
    wipe_copies(config.data)  # likewise, of backups
    worker = WorkerFigures()
    metrics = MetricsServer(lambda: page_of_thread() + worker.page(), path=None, port=config.metrics.port or None)
    try:
        metrics.start()
        with (
            status.shown(),
            StopSignals(server.end),
            watched_servers(),
            Supervisor(worker_of, open_bus, figures=worker),
            hook_sender(),
            tip_relay(),
            neighbour_clock(),
            session_clock(),
            reminder_mailer(),
            root_publisher(),
        ):
            server.run()
    finally:
        metrics.stop()
        close_films()


def _check_storage(config: DeskConfig, say: Callable[[str], object]) -> None:
    """Raises `ConfigurationError` for settings that can never work. A store that is away is only reported: pages work
    without it, and the receiver tries again."""
    try:
        check_storage(config.storage)
    except NetworkError as error:
        say(str(error))


def _require_free(web: Web) -> None:
    """Raises `ConfigurationError` if the desk cannot listen. uvicorn would say so without a remedy, after the link."""
    try:
        # Closed again at once. Another program may still be faster, and uvicorn then says so.
        family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
        socket.create_server((web.host, web.port), family=family).close()
    except OSError as error:
        raise ConfigurationError(
            f"The desk cannot listen at {web.host}, port {web.port}: {(error.strerror or '').partition(' (')[0]}.",
            remedy="Another desk or program may have this port, or this computer may lack the address. See [web] host "
            "and port in desk.toml.",
        ) from error


class _Server(uvicorn.Server):
    """uvicorn's own handlers would end the process by the signal that stopped it. `StopSignals` hears them instead, and
    a second signal cuts nothing short while the threads of the service end."""

    def __init__(self, config: uvicorn.Config, status: ServiceStatus) -> None:
        super().__init__(config)
        self._status = status

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._status.ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        self.should_exit = True


def _settings(config: DeskConfig, say: Callable[[str], object], status: ServiceStatus) -> uvicorn.Config:
    async def alive() -> None:
        """The loop that answers all pages gets on."""
        status.alive()

    web = config.web
    settings = uvicorn.Config(
        "desk.asgi:application",
        host=web.host,
        port=web.port,
        http=HeadLimit,
        lifespan="off",
        server_header=False,
        log_level="warning",
        access_log=False,
        proxy_headers=web.tls == "proxy",
        forwarded_allow_ips="127.0.0.1",
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_STOP_S,
        callback_notify=alive,
        timeout_notify=int(ALIVE_EVERY_S),
    )
    if web.tls != "proxy":
        certificate, key = web.certificate, web.key
        if web.tls == "made":
            folder = config.data / "tls"
            certificate, key = made_certificate(folder, web.names, datetime.datetime.now(datetime.UTC))
            say(f"Browsers trust the desk after they import {folder / 'authority.pem'}.")
        settings.ssl_certfile, settings.ssl_keyfile = str(certificate), str(key)
        settings.load()
        assert settings.ssl is not None  # noqa: S101 (a certificate is given)
        # uvicorn leaves Python's default, which allows TLS 1.2.
        settings.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return settings

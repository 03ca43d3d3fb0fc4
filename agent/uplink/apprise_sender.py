"""Takes alerts to the owner's channels through Apprise, https://github.com/caronc/apprise.

Apprise can do far more than needed, and some of it is closed here:
- Only the schemes of `SCHEMES`, each loaded separately: 26 MiB instead of its 150 plugins. Those that write files, run
  programs or are plain web hooks are left out, and so are plugin paths, configuration files, attachments and templates.
- Redirects are off, pictures are off (an icon by URL would have the phone ask a stranger's server), state stays in
  memory.
- A message is sent once, within `_MESSAGE_S`: pace and repetition are `Alerts`' alone. A server cannot prolong it by
  bytes that come slowly, over HTTP or SMTP, nor by asking for a long pause.
- The body of an answer over HTTP is cut after `ANSWER_BYTES`, or after `_ANSWER_S`. The server is foreign, and Apprise
  would read its answer to the end. The status counts, even if nothing comes after it.
Its warnings may hold URLs, so its log is only searched for a status code and then dropped.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from agent.core.alerts.channels import SCHEMES, scheme_of
from agent.errors import ConfigurationError, NetworkError
from agent.uplink.cut_off import LONGEST_S, CutOff

__all__ = ["ANSWER_BYTES", "AppriseSender"]

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 15.0
_MAIL_S: Final = 60.0
"""Silence of a mail server, which may check a mail before it takes it (RFC 5321, 4.5.3.2.6). Then it gets it again."""
_MESSAGE_S: Final = 300.0
"""All requests for a message, each of at most `LONGEST_S`: fifty recipients at the pace of Apprise, one in 5.5 s."""
ANSWER_BYTES: Final = 64 << 10
"""Many times the longest answer of a service."""
_TALKERS: Final = ("apprise", "urllib3")
"""Loggers. urllib3 warns of a head that is malformed, with the whole address."""
_STATUS: Final = re.compile(r"\berror=(\d{3})\b")


class AppriseSender:
    """`ports.AlertSender`.  From any thread."""

    def send(self, url: str, title: str, body: str, picture: bytes = b"", at_ms: int = 0) -> None:  # noqa: ARG002
        """Picture and time are for browsers: the words of `body` begin with the time."""
        with _AppriseLogHandler() as overheard:
            service = self._service(url)
            try:
                with _cut_off(_MESSAGE_S):
                    taken = service.notify(body=body, title=title, body_format="text")
            except Exception as error:  # foreign code, a foreign server: whatever it is, try again
                raise NetworkError(f"The channel failed ({type(error).__name__}).") from error
        if not taken:
            raise NetworkError(f"The channel did not take it ({overheard.reason}).")

    def check(self, url: str) -> None:
        """Raises `ConfigurationError` if it is no address of a channel. Checks only, sends nothing."""
        with _AppriseLogHandler():  # its plugins warn of what they do not take, with the secret
            self._service(url)

    def _service(self, url: str) -> Any:
        scheme = scheme_of(url)
        if scheme not in SCHEMES:
            raise ConfigurationError(f"'{scheme}' is no kind of channel.", remedy=f"Use one of {', '.join(SCHEMES)}.")
        from apprise import AppriseAsset, PersistentStoreMode  # 26 MiB: only who has channels pays for them

        module, name = SCHEMES[scheme]
        plugin = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
        _bound_answers(importlib.import_module(plugin.__module__))
        _bound_connections()
        _bound_pauses(plugin)
        if module == "email":
            _bound_mail(importlib.import_module("apprise.plugins.email.smtp"))
        asset = AppriseAsset(
            app_id="Doorward",
            app_desc="Doorward",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            image_path_mask="",
            async_mode=False,
            http_redirects=False,
            secure_logging=True,
            allow_templates=False,
            pgp_autogen=False,
            pem_autogen=False,
            default_service_retry=0,
            storage_mode=PersistentStoreMode.MEMORY,
        )
        parsed = plugin.parse_url(url)
        if not parsed:
            raise ConfigurationError("The channel's address cannot be read.", remedy="Compare it with Apprise's page.")
        # After the address was parsed, so that parameters in the URL cannot change these limits.
        parsed.update(cto=_CONNECT_S, rto=_ANSWER_S, asset=asset, include_image=False)
        # `Alerts` alone repeats a message. A plugin that repeats it, too, would multiply the tries.
        for switch in ("retry", "wait"):
            parsed.pop(switch, None)
        try:
            return plugin(**parsed)
        except TypeError as error:
            raise ConfigurationError(
                "The channel's address is not complete.", remedy="Compare it with Apprise's page on that service."
            ) from error


class _BoundedRequests:
    """The library `requests` for a plugin, with the same functions. Reads at most `ANSWER_BYTES` of an answer."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def get(self, url: str, **options: Any) -> Any:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Any:
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Any:
        return self.request("PUT", url, **options)

    def request(self, method: str, url: str, **options: Any) -> Any:
        with _cut_off(LONGEST_S), self._library.Session() as session:
            # Streamed, because `requests` would otherwise read the whole body before it returns.
            answer = session.request(method, url, **{**options, "stream": True})
            answer._content, answer._content_consumed = _beginning(answer.raw), True
            answer.close()
            return answer


def _beginning(body: Any) -> bytes:
    """Returns what arrives in time of an answer's body (urllib3.HTTPResponse), up to `ANSWER_BYTES`."""
    from urllib3.exceptions import HTTPError

    read, deadline_s = bytearray(), time.monotonic() + _ANSWER_S
    # Silence, a cut, wrong chunks: the server has the message, and a fault would have it sent again for three days.
    with contextlib.suppress(HTTPError):
        while len(read) < ANSWER_BYTES and time.monotonic() < deadline_s:
            piece = body.read1(ANSWER_BYTES - len(read), decode_content=True)
            if not piece:
                break
            read += piece
    return bytes(read)


class _Thread(threading.local):
    cut_off: CutOff | None = None
    """The innermost one that this thread is in. Foreign code opens its connections, so it cannot be an argument."""


_thread: Final = _Thread()


@contextlib.contextmanager
def _cut_off(longest_s: float) -> Iterator[None]:
    """Bounds the connections that foreign code of this thread opens inside, within the bound around it."""
    around = _thread.cut_off
    with CutOff(longest_s if around is None else min(longest_s, around.left_s)) as inner:
        _thread.cut_off = inner
        try:
            yield
        finally:
            _thread.cut_off = around


def _bound_answers(plugin: ModuleType) -> None:
    """Gives a plugin that uses `requests` bounded ones. Idempotent."""
    library = getattr(plugin, "requests", None)
    if library is not None and not isinstance(library, _BoundedRequests):
        plugin.requests = _BoundedRequests(library)  # type: ignore[attr-defined]


def _bound_connections() -> None:
    """Has urllib3 connect by the cut-off of the thread, if there is one. Idempotent."""
    from urllib3.util import connection

    theirs: Callable[..., socket.socket] = connection.create_connection
    if theirs.__module__ == __name__:
        return

    def bounded(
        address: tuple[str, int],
        timeout: float | None = None,
        source_address: tuple[str, int] | None = None,
        socket_options: Iterable[tuple[int, int, int | bytes]] | None = None,
    ) -> socket.socket:
        # Theirs asks bind(2) whether there is IPv6. The uplink's sandbox forbids that, so it would never try IPv6.
        if _thread.cut_off is None:
            return theirs(address, timeout, source_address, socket_options)
        opened = _thread.cut_off.connect(address, timeout)
        for option in socket_options or ():
            opened.setsockopt(*option)
        return opened

    connection.create_connection = bounded  # type: ignore[assignment]


def _bound_pauses(plugin: Any) -> None:
    """Has a plugin fail if it would pause for longer than its message may take, as a server can ask. Idempotent."""
    theirs = plugin.throttle
    if theirs.__module__ == __name__:
        return

    def bounded(service: Any, last_io: Any = None, wait: float | None = None) -> None:
        cut_off = _thread.cut_off
        if cut_off is not None:
            cut_off.check()  # a server can also name many rooms, and Apprise pauses before each
        if wait is not None and wait > (cut_off.left_s if cut_off else 0):
            raise TimeoutError("The server asks for a long pause.")
        theirs(service, last_io, wait)

    plugin.throttle = bounded


def _bound_mail(controller: Any) -> None:
    """Gives Apprise's module for SMTP connections that are cut off. Idempotent."""
    library = controller.smtplib
    if isinstance(library, SimpleNamespace):
        return

    class Smtp(library.SMTP):  # type: ignore[misc, name-defined]
        def _get_socket(self, host: str, port: int, timeout: float) -> Any:
            if _thread.cut_off is None:
                return super()._get_socket(host, port, timeout)
            opened = _thread.cut_off.connect((host, port), timeout)
            opened.settimeout(_MAIL_S)  # Apprise has one time for both, `_CONNECT_S`
            return opened

    class SmtpOverTls(library.SMTP_SSL, Smtp):  # type: ignore[misc, name-defined]
        """Its first base wraps the socket that the second one opens."""

    controller.smtplib = SimpleNamespace(**{**vars(library), "SMTP": Smtp, "SMTP_SSL": SmtpOverTls})


class _AppriseLogHandler(logging.Handler):
    """While inside, listens to Apprise and urllib3 for a status code, and keeps everything else to itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = "unreachable or too slow"
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found and record.thread == self._thread:  # each channel has its thread
            self.reason = f"it answered {found[1]}"

    def __enter__(self) -> _AppriseLogHandler:
        for logger in map(logging.getLogger, _TALKERS):
            # Warnings of plugins may contain an address with its secret, so none of them reaches the doorbell's log.
            logger.propagate = False
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for logger in map(logging.getLogger, _TALKERS):
            logger.removeHandler(self)

"""Takes alerts to the owner's channels through Apprise, https://github.com/caronc/apprise.

Apprise can do far more than needed, and some of it is closed here:
- Only the schemes of `SCHEMES`, each loaded separately: 26 MiB instead of its 150 plugins. Those that write files, run
  programs or are plain web hooks are left out, and so are plugin paths, configuration files, attachments and templates.
- Redirects are off, pictures are off (an icon by URL would have the phone ask a stranger's server), state stays in
  memory.
- A message is sent once, within `_CONNECT_S` and `_ANSWER_S`: pace and repetition are `Alerts`' alone.
- An answer over HTTP is cut after `ANSWER_BYTES`, or after `_ANSWER_S`. The server is foreign, and Apprise would read
  its answer to the end. The status counts.
Its warnings may hold URLs, so its log is only searched for a status code and then dropped.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from types import ModuleType
from typing import Any, Final

from agent.core.alerts.channels import SCHEMES, scheme_of
from agent.errors import ConfigurationError, NetworkError

__all__ = ["ANSWER_BYTES", "AppriseSender"]

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 15.0
ANSWER_BYTES: Final = 64 << 10
"""Many times the longest answer of a service."""
_STATUS: Final = re.compile(r"\berror=(\d{3})\b")


class AppriseSender:
    """`ports.AlertSender`.  From any thread."""

    def send(self, url: str, title: str, body: str, picture: bytes = b"") -> None:  # noqa: ARG002 — for browsers
        service = self._service(url)
        with _AppriseLogHandler() as overheard:
            try:
                taken = service.notify(body=body, title=title, body_format="text")
            except Exception as error:  # foreign code, a foreign server: whatever it is, try again
                raise NetworkError(f"The channel failed ({type(error).__name__}).") from error
        if not taken:
            raise NetworkError(f"The channel did not take it ({overheard.reason}).")

    def check(self, url: str) -> None:
        """Raises `ConfigurationError` if it is no address of a channel. Checks only, sends nothing."""
        self._service(url)

    def _service(self, url: str) -> Any:
        scheme = scheme_of(url)
        if scheme not in SCHEMES:
            raise ConfigurationError(f"'{scheme}' is no kind of channel.", remedy=f"Use one of {', '.join(SCHEMES)}.")
        from apprise import AppriseAsset, PersistentStoreMode  # 26 MiB: only who has channels pays for them
        from urllib3.util import connection

        # It would find out by bind(2), which the uplink's sandbox forbids, and then never try an IPv6 address.
        connection.HAS_IPV6 = True

        module, name = SCHEMES[scheme]
        plugin = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
        _bound_answers(importlib.import_module(plugin.__module__))
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
        parsed.update(cto=_CONNECT_S, rto=_ANSWER_S, asset=asset, include_image=False)
        for switch in ("retry", "wait"):
            parsed.pop(switch, None)
        try:
            return plugin(**parsed)
        except TypeError as error:
            raise ConfigurationError(
                "The channel's address is not complete.", remedy="Compare it with Apprise's page on that service."
            ) from error


class _BoundedRequests:
    """The library `requests` for a plugin, with the same functions. It reads as much of an answer as it may."""

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
        with self._library.Session() as session:
            answer = session.request(method, url, **{**options, "stream": True})
            answer._content, answer._content_consumed = _beginning(answer.raw), True
            answer.close()
            return answer


def _beginning(body: Any) -> bytes:
    """Returns what arrives in time of an answer's body (urllib3.HTTPResponse), up to `ANSWER_BYTES`."""
    read, deadline_s = bytearray(), time.monotonic() + _ANSWER_S
    while len(read) < ANSWER_BYTES and time.monotonic() < deadline_s:
        piece = body.read1(ANSWER_BYTES - len(read), decode_content=True)
        if not piece:
            break
        read += piece
    return bytes(read)


def _bound_answers(plugin: ModuleType) -> None:
    """Gives a plugin that uses `requests` bounded ones. Idempotent."""
    library = getattr(plugin, "requests", None)
    if library is not None and not isinstance(library, _BoundedRequests):
        plugin.requests = _BoundedRequests(library)  # type: ignore[attr-defined]


class _AppriseLogHandler(logging.Handler):
    """While inside, listens to Apprise for a status code, and keeps everything else to itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = "unreachable or too slow"

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found:
            self.reason = f"it answered {found[1]}"

    def __enter__(self) -> _AppriseLogHandler:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

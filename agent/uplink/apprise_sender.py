"""Takes alerts to the owner's channels through Apprise, https://github.com/caronc/apprise.

Apprise can do far more than needed, and some of it is closed here:
- Only the schemes of `SCHEMES`, each loaded separately: 26 MiB instead of its 150 plugins. Those that write files, run
  programs or are plain web hooks are left out, and so are plugin paths, configuration files, attachments and templates.
- Redirects are off, pictures are off (an icon by URL would have the phone ask a stranger's server), state stays in
  memory.
- A message is sent once, within `_CONNECT_S` and `_ANSWER_S`: pace and repetition are `Alerts`' alone.
Its warnings may hold URLs, so its log is only searched for a status code and then dropped.
"""

from __future__ import annotations

import importlib
import logging
import re
from typing import Any, Final

from agent.core.alerts.channels import SCHEMES, scheme_of
from agent.errors import ConfigurationError, NetworkError

__all__ = ["AppriseSender"]

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 15.0
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

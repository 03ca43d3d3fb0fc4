"""The services that an alert may go to, as the schemes of their Apprise URLs.

The list leaves out every service that writes files, talks to the desktop or runs a program, and web hooks with a body
from the configuration (`file`, `syslog`, `dbus`, `json`, `xml`, `form`). Configuration must not reach code.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMES", "scheme_of"]

SCHEMES: Final[dict[str, tuple[str, str]]] = {
    "ntfy": ("ntfy", "NotifyNtfy"),
    "ntfys": ("ntfy", "NotifyNtfy"),
    "gotify": ("gotify", "NotifyGotify"),
    "gotifys": ("gotify", "NotifyGotify"),
    "pover": ("pushover", "NotifyPushover"),
    "mailto": ("email", "NotifyEmail"),
    "mailtos": ("email", "NotifyEmail"),
    "tgram": ("telegram", "NotifyTelegram"),
    "discord": ("discord", "NotifyDiscord"),
    "hassio": ("home_assistant", "NotifyHomeAssistant"),
    "hassios": ("home_assistant", "NotifyHomeAssistant"),
    "matrix": ("matrix", "NotifyMatrix"),
    "matrixs": ("matrix", "NotifyMatrix"),
    "signal": ("signal_api", "NotifySignalAPI"),
    "signals": ("signal_api", "NotifySignalAPI"),
    "pbul": ("pushbullet", "NotifyPushBullet"),
    "slack": ("slack", "NotifySlack"),
    "nctalk": ("nextcloudtalk", "NotifyNextcloudTalk"),
    "nctalks": ("nextcloudtalk", "NotifyNextcloudTalk"),
}
"""Scheme → Apprise's module and class."""


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()

"""Web push for the owner's page: each subscribed browser is a channel of the alerts.

The custodian keeps the subscriptions and the doorbell's VAPID key. The uplink receives them as addresses, as it does
for every channel. A browser gets the same alerts under the same rules as any channel.

An owner signs each subscription and its end (`wire.statements.PushSubscription` and `PushUnsubscription`). The ledger
records both. A session or access to the socket alone is too weak. A subscription ends with its owner.

A glance key rests while its browser is unused: `UNUSED_S` after an owner last unlocked the page there, alerts come
without pictures. They have pictures again once an owner unlocks it, so a wrong clock costs no key. A phone in a drawer,
or in other hands, stops seeing the door.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from agent.core.alerts.alert_messages import ChannelAddress, glance_id
from agent.core.alerts.policy import ChannelRules
from agent.core.languages import ENGLISH
from agent.core.webpush import point_of, push_address, subscription
from agent.errors import DoorwardError, FormatError, RequestError, StorageError
from agent.ipc.control_operations import UseAlertBrowser
from agent.wire.identities import PublicKey, parse_public_key
from agent.wire.statements import PushSubscription, PushUnsubscription
from agent.wire.strictjson import PreparedMeta, decode_base64url, encode_base64url

__all__ = ["UNUSED_S", "GlanceHolder", "PushChannels", "PushStore"]

MOST_BROWSERS: Final = 16
UNUSED_S: Final = 90 * 86_400
"""As long as an unused browser stays paired (`page.sessions`)."""
_NOTED_EVERY_S: Final = 3600
"""A use is written at most this often: it wears the card."""
_PREFIX: Final = "browser "
Answer = tuple[dict[str, Any], bytes]


class _Browser(msgspec.Struct, metaclass=PreparedMeta, frozen=True, kw_only=True):
    """A subscription. `owner`: the key id of its signer. `browser`: its make, from the page. Times are UTC seconds."""

    endpoint: str
    p256dh: str
    auth: str
    owner: str
    glance: str
    made_s: int
    used_s: int
    browser: str = ""
    signer: str = ""
    """The key with which its glance key signs."""
    language: str = ENGLISH
    """The language of its page."""


class PushStore(Protocol):
    """One small text, durable when `save` returns.  Both raise `StorageError`."""

    def load(self) -> str:
        """Returns the saved text, or an empty string."""
        ...

    def save(self, text: str) -> None: ...


class AlertChannels(Protocol):
    """`custodian.alerts.alerts.Alerts`, as far as this goes."""

    def set_channel(self, rules: ChannelRules, address: ChannelAddress, glance: str = "") -> None: ...
    def drop_channel(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class GlanceHolder:
    """A browser with a glance key. `owner`: the key id of the owner that added it by a statement."""

    glance: str
    owner: str


class PushChannels:
    """`answers`: the operations of the control socket and of the page, by name.

    `after` runs a function once the decision is durable; `tell(kind, text)` alerts every owner. `now_ms`: believed UTC.
    `owner_name`: the name of the owner with a key id, or None.
    """

    def __init__(
        self,
        store: PushStore,
        alerts: AlertChannels,
        after: Callable[[Callable[[], None]], None],
        tell: Callable[[str, str], None] = lambda _kind, _text: None,
        now_ms: Callable[[], int] = lambda: 0,
        owner_name: Callable[[str], str | None] = lambda key_id: key_id,
    ) -> None:
        self._store = store
        self._after = after
        self._tell = tell
        self._now_ms = now_ms
        self._owner_name = owner_name
        self._alerts = alerts
        self._lock = threading.Lock()
        self._browsers: dict[str, _Browser] = {}
        try:
            kept = _kept(store.load())
        except (ValueError, StorageError):
            structlog.get_logger("alerts").error("push_damaged", remedy="Switch alerts on again in each browser.")
            kept = None
        if kept is not None:
            self._key, self._browsers = kept
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            try:
                self._save()
            except StorageError as error:  # the rest of the doorbell needs this process; the next change saves it
                structlog.get_logger("alerts").error("push_not_saved", error=error.message)
        for name, browser in self._browsers.items():
            self._announce(name, browser)
        self.answers: dict[str, Callable[[Any, bytes], Answer]] = {
            "push_key": lambda _asked, _body: ({"key": encode_base64url(point_of(self._key))}, b""),
            "push_browsers": lambda _asked, _body: ({"browsers": self._listed()}, b""),
            "push_used": self._use,
        }

    def subscribe(self, statement: PushSubscription | PushUnsubscription, signer: str) -> None:
        """Applies a statement of the owner with the key id `signer`. It takes effect once the decision is durable."""
        if isinstance(statement, PushUnsubscription):
            self._after(lambda: self._forget(_name(statement.endpoint)))
            return
        now_s = self._now_s
        browser = _Browser(
            endpoint=statement.endpoint,
            p256dh=statement.p256dh,
            auth=statement.auth,
            owner=signer,
            glance=statement.glance or "",
            signer=statement.glance_signer or "",
            made_s=now_s,
            used_s=now_s,
        )
        # Raises for keys or an address that no message could go to, before the owner reads that alerts are on.
        subscription(statement.endpoint, statement.p256dh, statement.auth)
        name = _name(statement.endpoint)
        with self._lock:
            # A browser that renews its own subscription takes no further place.
            if name not in self._browsers and len(self._browsers) >= MOST_BROWSERS:
                raise RequestError("Too many browsers receive alerts.", remedy="Switch alerts off in one of them.")
        # After the commit: if the ledger's entry fails, the browser must not be told of the door.
        self._after(lambda: self._keep(name, browser))

    def _keep(self, name: str, browser: _Browser) -> None:
        with self._lock:
            self._browsers[name] = browser
            self._save()
            self._announce(name, browser)
        self._tell("alerts", "One more browser receives alerts.")

    def leave(self, has_left: Callable[[str], bool]) -> None:
        """Removes the browsers of former owners. `has_left` returns whether a key id has left the list of owners."""
        with self._lock:
            gone = [name for name, browser in self._browsers.items() if has_left(browser.owner)]
            for name in gone:
                del self._browsers[name]
                self._alerts.drop_channel(name)
            if gone:
                self._save()

    def _forget(self, name: str) -> None:
        # Send this alert before the removal, so that the removed browser also receives it, even if another owner
        # removed it.
        self._tell("alerts ended", "A browser stopped receiving alerts.")
        with self._lock:
            if self._browsers.pop(name, None) is not None:
                self._save()
                self._alerts.drop_channel(name)

    def _announce(self, name: str, browser: _Browser) -> None:
        self._alerts.set_channel(
            ChannelRules(name, language=browser.language),
            ChannelAddress(name, _address(browser, self._key)),
            glance_id(browser.glance) if browser.glance else "",
        )

    def glances(self) -> tuple[str, ...]:
        """Returns the glance keys that pictures of alerts are sealed to: those of browsers that are in use."""
        with self._lock:
            return tuple(each.glance for each in self._browsers.values() if self._pictures(each) == "shown")

    def _pictures(self, browser: _Browser) -> str:
        if not browser.glance:
            return "none"
        return "resting" if self._is_unused(browser) else "shown"

    def glance_holder(self, key: str) -> GlanceHolder | None:
        """Returns the browser in use that signs with the glance key `key` (`ed25519:…`)."""
        with self._lock:
            for each in self._browsers.values():
                if each.glance and each.signer == key and not self._is_unused(each):
                    return GlanceHolder(each.glance, each.owner)
        return None

    def glance_signers(self) -> dict[str, PublicKey]:
        """Returns the keys with which the glance keys of browsers in use sign, by key id."""
        with self._lock:
            texts = [each.signer for each in self._browsers.values() if each.glance and not self._is_unused(each)]
        found: dict[str, PublicKey] = {}
        for text in filter(None, texts):
            with suppress(FormatError):  # a damaged text must not keep an owner out
                key = parse_public_key(text)
                found[key.id] = key
        return found

    def owner_of(self, glance: str) -> str:
        """Returns the name of the owner with this glance key in their browser; empty for an unknown key."""
        with self._lock:
            owners = [each.owner for each in self._browsers.values() if each.glance == glance]
        return next(filter(None, map(self._owner_name, owners)), "")

    def _is_unused(self, browser: _Browser) -> bool:
        return self._now_s - browser.used_s > UNUSED_S

    @property
    def _now_s(self) -> int:
        return self._now_ms() // 1000

    def _listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {
                    "endpoint": each.endpoint,
                    "browser": each.browser,
                    "owner": self._owner_name(each.owner),
                    "made_s": each.made_s,
                    "used_s": each.used_s,
                    "pictures": self._pictures(each),
                }
                for each in self._browsers.values()
            ]

    def _use(self, asked: UseAlertBrowser, _body: bytes) -> Answer:
        name, now_s = _name(asked.endpoint), self._now_s
        with self._lock:
            known = self._browsers.get(name)
            if known is None:
                return {}, b""
            is_same = (known.browser, known.language) == (asked.browser, asked.language)
            # A negative age comes from a clock that was ahead: the time of use is then written again.
            if not (is_same and 0 <= now_s - known.used_s < _NOTED_EVERY_S):
                used = msgspec.structs.replace(known, browser=asked.browser, language=asked.language, used_s=now_s)
                self._browsers[name] = used
                self._save()
                self._announce(name, used)
        return {}, b""

    def _save(self) -> None:
        secret = encode_base64url(self._key.private_numbers().private_value.to_bytes(32, "big"))
        kept = {"vapid": secret, "browsers": self._browsers}
        self._store.save(msgspec.json.encode(kept).decode())


def _kept(text: str) -> tuple[ec.EllipticCurvePrivateKey, dict[str, _Browser]] | None:
    """Returns None if the file is empty. Raises `ValueError` if the text is anything else than `_save` writes."""
    if not text:
        return None
    try:
        kept = json.loads(text)
        browsers = msgspec.convert(kept["browsers"], dict[str, _Browser])
        key = ec.derive_private_key(int.from_bytes(decode_base64url(kept["vapid"]), "big"), ec.SECP256R1())
        # Tried now: a damaged key would otherwise fail later, in the thread that sends alerts.
        for browser in browsers.values():
            _address(browser, key)
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError, DoorwardError) as error:
        raise ValueError("damaged") from error
    return key, browsers


def _address(browser: _Browser, key: ec.EllipticCurvePrivateKey) -> str:
    return push_address(browser.endpoint, browser.p256dh, browser.auth, key)


def _name(endpoint: str) -> str:
    """Names a browser and keeps its address secret."""
    return _PREFIX + hashlib.sha256(endpoint.encode()).hexdigest()[:8]

"""The custodian's two desks: what the recorder and the uplink may ask, and nothing besides.

Each desk is served on a socket of its own.  The recorder's cannot be used to send anything, the uplink's cannot be used
to sign, to see who the owners are, or to look into the vault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from agent.core.home_news import HomeAddress
from agent.core.retention import Protected
from agent.core.status import RecorderReport, UplinkReport, fault_in
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.custodian.live_buffer import LiveShelf
from agent.errors import RequestError
from agent.ipc.protocol import (
    Addressing,
    Answer,
    BeginSending,
    Begun,
    Changed,
    Channels,
    FromRecorder,
    FromUplink,
    Held,
    Home,
    HomeIs,
    LivePiece,
    Looking,
    Names,
    Noted,
    Outgoing,
    Parcels,
    Receipt,
    Report,
    Sealers,
    SettingsAre,
    Sign,
    Signature,
    Tell,
    Told,
    Took,
    WhatChanged,
    WhatIsDeleted,
    WhatIsHeld,
    WhatIsHome,
    WhatToSend,
    WhatToTell,
    WhichChannels,
    WhichHome,
    WhichSettings,
    WhoLooks,
    WhoMayOpen,
)
from agent.ports import AlertDesk, Clock, Custody, HomeSource, Notifier
from agent.wire import strictjson
from agent.wire.envelope import pae

__all__ = ["RecorderDesk", "Reports", "UplinkDesk"]

_STALE_NS: Final = 20 * 10**9
_MOST_PATIENCE_S: Final = 3.0
"""Shorter than the recorder waits for an answer."""
_NEWS_S: Final = 10.0
_ALERTS_S: Final = 3.0
_LONGEST_TEXT: Final = 500
_IN_REPORTS: Final[Mapping[str, type[Struct]]] = {"recorder": RecorderReport, "uplink": UplinkReport}
_RECORD_PREFIX: Final = b"DSSEv1 %d %b " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode())


class Holder(Protocol):
    """Who knows which segments must stay, and which must go."""

    def protected(self, stored_segments: int) -> Protected: ...
    def deleted(self) -> frozenset[str]: ...


class Reports:
    """What the other roles last said of themselves, as long as it is fresh."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, tuple[int, Mapping[str, Any]]] = {}

    def take(self, role: str, status: Mapping[str, Any]) -> None:
        """Raises `RequestError` for a report that the custodian's threads or an owner's command could not read."""
        fault = fault_in(status, _IN_REPORTS[role])
        if fault is not None:
            raise RequestError(f"A report of the {role} cannot be used: {fault}.")
        self._last[role] = (self._clock.now().boot_ns, status)

    def of(self, role: str) -> Mapping[str, Any] | None:
        """None when that role has said nothing for a while."""
        at_ns, status = self._last.get(role, (0, None))
        return status if status is not None and self._clock.now().boot_ns - at_ns <= _STALE_NS else None


class RecorderDesk:
    """`sealers` says who may open footage now, `settings` what an owner has set; `sign` signs with the device's key."""

    def __init__(
        self,
        sealers: Callable[[], Sealers],
        sign: Callable[[bytes], bytes],
        holder: Holder,
        settings: Callable[[], bytes],
        notifier: Notifier,
        reports: Reports,
        live: LiveShelf,
    ) -> None:
        self._live = live
        self._sealers = sealers
        self._sign = sign
        self._holder = holder
        self._settings = settings
        self._notifier = notifier
        self._reports = reports

    def answer(self, question: FromRecorder) -> Answer:
        match question:
            case WhoMayOpen():
                return self._sealers()
            case Sign(encoding=encoding):
                return Signature(self._sign(_record_encoding(encoding)))
            case WhatIsHeld(stored=stored):
                protected = self._holder.protected(stored)
                return Held(tuple(protected.held), protected.now_ms)
            case WhatIsDeleted():
                return Names(tuple(self._holder.deleted()))
            case WhichSettings():
                return SettingsAre(self._settings())
            case Tell(kind=kind, text=text, once=once):
                self._notifier.notify(kind[:_LONGEST_TEXT], text[:_LONGEST_TEXT], once[:_LONGEST_TEXT])
                return Noted()
            case Report(status=status):
                self._reports.take("recorder", status)
                return Noted()
            case WhoLooks(patience_s=patience_s):
                return Looking(self._live.looked_at(min(patience_s, _MOST_PATIENCE_S)))
            case LivePiece(number=number, piece=piece, pieces=pieces, data=data):
                return Looking(self._live.put(number, piece, pieces, data))


class UplinkDesk:
    """`custody` is the custodian as the network may see it."""

    def __init__(
        self,
        custody: Custody,
        addressing: Addressing,
        reports: Reports,
        alerts: AlertDesk | None = None,
        home: HomeSource | None = None,
    ) -> None:
        self._custody = custody
        self.addressing = addressing
        self._reports = reports
        self._alerts = alerts
        self._home = home
        self.home_address = HomeAddress()
        self._version = 0
        self._changed = threading.Condition()

    def news(self) -> None:
        """The list of outgoing disclosures is another.  From any thread."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def answer(self, question: FromUplink) -> Answer:
        match question:
            case Addressing():
                return self.addressing
            case Took(topic=topic, payload=payload):
                receipt = self._custody.on_message(topic, payload)
                return Receipt(None if receipt is None else strictjson.encode(receipt))
            case WhatToSend():
                return Outgoing(tuple(self._custody.outgoing()))
            case BeginSending(disclosure=disclosure):
                return Begun(self._custody.begin_sending(disclosure))
            case WhatChanged(seen=seen):
                with self._changed:
                    self._changed.wait_for(lambda: self._version != seen, _NEWS_S)
                    return Changed(self._version)
            case WhichHome():
                return Home(self.home_address)
            case WhatIsHome(presses=presses):
                if self._home is None:
                    raise RequestError("No Home Assistant is configured.")
                return HomeIs(self._home.collect(presses, _NEWS_S))
            case WhichChannels():
                return Channels(self._alerts.channels() if self._alerts else ())
            case WhatToTell():
                return Parcels(self._alerts.collect(_ALERTS_S) if self._alerts else self._nothing_ever())
            case Told(parcel=parcel, fault=fault):
                if self._alerts is not None:
                    self._alerts.settle(parcel, fault[:_LONGEST_TEXT])
                return Noted()
            case Report(status=status):
                self._reports.take("uplink", status)
                return Noted()

    def _nothing_ever(self) -> tuple[()]:
        """No alerts are configured: said slowly, or the uplink would ask again and again without a pause."""
        with self._changed:
            self._changed.wait(_ALERTS_S)
        return ()


def _record_encoding(encoding: bytes) -> bytes:
    """The encoding of a manifest record, exactly: a recorder must not get a checkpoint or a disclosure signed."""
    length, space, payload = encoding.removeprefix(_RECORD_PREFIX).partition(b" ")
    if (
        not encoding.startswith(_RECORD_PREFIX)
        or not space
        or not length.isdigit()
        or encoding != pae(PAYLOAD_TYPE, payload)
    ):
        raise RequestError("Only manifest records are signed for the recorder.")
    return encoding

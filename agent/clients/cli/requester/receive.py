"""`doorward requester receive`."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import Any, Final

import click

from agent.cli.frame import Number, emit_json, json_option
from agent.clients.cli.requester.options import broker_options, connected, folder_option
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import connection_lock
from agent.clients.requester.receiving_service import DisclosureReceiver, ReceiverEvent, ReceiverEventKind
from agent.platform.stop_signals import StopSignals
from agent.platform.system_clock import SystemClock

__all__ = ["receive"]

_STEP_S: Final = 0.5
_PATIENCE_S: Final = 60.0
"""Seconds to wait for a request of another process. It takes half of that if the broker is silent."""


@click.command()
@folder_option
@click.option("--count", type=Number(1), help="Stop after this number of complete disclosures.")
@broker_options
@json_option
def receive(folder: Path, count: int | None, as_json: bool, **broker: Any) -> None:
    """Receive disclosures, verify and acknowledge them until you stop it (Ctrl-C).

    Also publishes messages that are signed but unpublished.  You can stop it safely at any time.
    """
    who = Requester.open(folder)
    stop, again = threading.Event(), threading.Event()
    received: list[ReceiverEvent] = []
    before = 0

    def tell(news: ReceiverEvent) -> None:
        if not as_json:
            _say_news(news)
        if news.kind is ReceiverEventKind.COMPLETE:
            received.append(news)
        if news.kind is ReceiverEventKind.ROOT_BROKERS and not broker["broker"]:
            again.set()

    def answered(disclosures: int) -> None:
        if count is not None and before + disclosures >= count:
            stop.set()

    with (
        StopSignals(stop.set, [signal.SIGTERM]),
        connection_lock(who, wait_s=_PATIENCE_S, stop=stop),
        contextlib.suppress(KeyboardInterrupt),
    ):
        while not stop.is_set():
            again.clear()
            with connected(who, broker) as bus:
                receiver = DisclosureReceiver(who, bus, SystemClock(), tell=tell, answered=answered)
                receiver.start()
                while not (stop.is_set() or again.is_set()):
                    receiver.step(_STEP_S)
            # The next receiver counts from zero.
            before = len(received)
    if as_json:
        emit_json({"complete": [{"disclosure": each.disclosure, "request": each.request} for each in received]})


def _say_news(news: ReceiverEvent) -> None:
    share = f"{news.held_bytes / 1e6:.1f} of {news.expected_bytes / 1e6:.1f} MB"
    words = {
        ReceiverEventKind.CONNECTED: "Connected; waiting for answers.",
        ReceiverEventKind.DISCONNECTED: f"Not connected: {news.detail}",
        ReceiverEventKind.BROKER_AWAY: f"One broker is out of reach, and the others go on: {news.detail}",
        ReceiverEventKind.BEGUN: f"Disclosure {news.disclosure} answers request {news.request}: {share}.",
        ReceiverEventKind.PROGRESS: f"  {news.disclosure}: {share}",
        ReceiverEventKind.COMPLETE: _complete(news),
        ReceiverEventKind.REFUSED: f"Disclosure {news.disclosure} was refused: {news.detail}",
        ReceiverEventKind.NO_ROOM: f"No room for disclosure {news.disclosure}: {news.detail}",
        ReceiverEventKind.PUBLISHED: f"The {news.detail} {news.request} is published.",
        ReceiverEventKind.NOT_PUBLISHED: f"Request {news.request} was not published: {news.detail}",
        ReceiverEventKind.DAMAGED: f"Request {news.request} cannot be used: {news.detail}",
        ReceiverEventKind.TIP: f"A tip has arrived.  Read it: doorward requester tips {news.disclosure[:8]}",
        ReceiverEventKind.ROOT_LIST: "Your trust root has published a newer list, which is stored.",
        ReceiverEventKind.ROOT_BROKERS: "Your trust root lists other brokers for you.  Connecting to them.",
        ReceiverEventKind.ROOT_REFUSED: f"A message in the name of your trust root was refused: {news.detail}",
        ReceiverEventKind.REBUILT: f"The index was made again from the folder.  {news.detail}  Nothing is lost.",
        ReceiverEventKind.STOPPED: f"The device sends no more of disclosure {news.disclosure}.",
    }
    if news.kind in words:
        click.echo(words[news.kind])


def _complete(news: ReceiverEvent) -> str:
    if news.answer is None:
        return (
            f"Disclosure {news.disclosure} is here, unopened and unverified: only the neighbour has the key.  "
            f"Hand over the folder disclosures/{news.disclosure}"
        )
    detail = f"{news.detail}  " if news.detail else ""
    said = f"Disclosure {news.disclosure} is complete and verified.  {detail}"
    return f"{said}Open it: doorward requester open {news.disclosure}"

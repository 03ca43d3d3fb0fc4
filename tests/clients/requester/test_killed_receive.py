"""`doorward requester receive` is killed again and again while an answer arrives through a real broker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.clients.requester.answer_index import AnswerState
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.verification import examine
from agent.core.media import Gop
from agent.core.transfer import TransferOutcome
from agent.platform.system_clock import SystemClock
from agent.wire.disclosures import Receipt
from tests.brokers import BrokerWithClients, broker_with_clients
from tests.clients.requester.conftest import filmed
from tests.clients.requester.doors import Door

pytestmark = pytest.mark.broker

PATIENCE_S = 120.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BrokerWithClients]:
    with broker_with_clients(tmp_path / "broker") as world:
        yield world


@contextmanager
def receiving(world: BrokerWithClients, requester: Requester) -> Iterator[subprocess.Popen[str]]:
    """The command in a process, which is killed at the end."""
    connection = world.settings(requester.id)
    options = {
        "--folder": requester.folder,
        "--broker": f"{connection.host}:{connection.port}",
        "--authority": connection.authority,
        "--certificate": connection.certificate,
        "--tls-key": connection.key,
    }
    command = [str(Path(sys.executable).with_name("doorward")), "requester", "receive"]
    command += [str(word) for option in options.items() for word in option]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stored_of(receipts: list[Receipt]) -> set[int]:
    return {part for each in receipts for span in each.stored for part in range(span.first, span.last + 1)}


def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    world: BrokerWithClients, requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    disclosure = filmed(gops).disclose(asked)
    door = Door(None, requester, disclosure, SystemClock(), bus=world.bus(disclosure.device))
    folder = AnswerFolder(requester.folder, disclosure.id)
    deadline = time.monotonic() + PATIENCE_S
    for parts in range(len(disclosure.parts) + 1):
        with receiving(world, requester) as process:
            assert process.stdout is not None
            assert process.stdout.readline(), "it runs"
            # Killed as soon as one part more is durable, and the last time as soon as all of it is acknowledged.
            while not door.finished and (len(folder.sealed()) < parts + 1 or parts == len(disclosure.parts)):
                if not door.step():
                    time.sleep(0.01)
                assert time.monotonic() < deadline, "the answer does not arrive"
        assert stored_of(door.receipts) <= folder.sealed()
    assert door.finished is not None
    assert door.finished.outcome is TransferOutcome.DELIVERED
    again = Requester.open(requester.folder)
    (answer,) = again.answers.to_request(asked.request.id)
    assert (answer.disclosure, answer.state) == (disclosure.id, AnswerState.COMPLETE)
    assert again.index.rebuilt == "", "a kill damages no index"
    assert examine(again, disclosure.id).ok
    assert [(folder.path / f"{number}.age").read_bytes() for number in range(len(disclosure.parts))] == disclosure.parts

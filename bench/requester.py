"""Cost of a request for its requester, with few and with many in the folder: `python -m bench.requester [REQUESTS]`.

Beside it, in the same run, what it cannot do without: a reply identity, a signature, and files that are durable.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.clients.opening import HybridIdentity
from agent.clients.requester import messages as requester_messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.publisher import PublishQueue, publish_pending
from agent.clients.requester.request_builder import RequestDraft
from agent.platform import files
from agent.wire.area import Circle
from agent.wire.fields import Incident, Kind, OnwardKind
from agent.wire.messages import Contact, Onward

NOW_S = 1_800_000_000
PART = 50


def question(number: int) -> RequestDraft:
    return RequestDraft(
        area=Circle(lat=52.3702, lon=4.8952, radius_m=300),
        from_s=NOW_S - 7200,
        to_s=NOW_S - 3600,
        not_after_s=NOW_S + 86_400,
        case=f"2027-{number}",
        incident=Incident.BURGLARY,
        description="A burglary in the street.",
        contact=Contact(name="Det. R. Visser", email="r.visser@rijnstad.example"),
        retention_days=90,
        onward=Onward(to=(OnwardKind.COURT,)),
        language="en",
    )


class NoBus:
    """Takes nothing."""

    def publish(self, *_: Any, **__: Any) -> bool:
        return False


def cpu_ms(act: Callable[[int], object], count: int, first: int = 0) -> float:
    """Returns the CPU time of each call in ms, on average."""
    start = time.process_time()
    for number in range(first, first + count):
        act(number)
    return (time.process_time() - start) / count * 1000


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        requester = Requester.create(Path(folder) / "requester", "rijnstad-police", Kind.POLICE, "00112233445566aa")

        def ask(number: int) -> None:
            requester_messages.make_request(requester, question(number), now_s=NOW_S)

        few = cpu_ms(ask, PART)
        cpu_ms(ask, count - 2 * PART, PART)
        many = cpu_ms(ask, PART, count - PART)

        def floor(number: int) -> None:
            path = Path(folder) / f"{number}"
            path.write_text(str(HybridIdentity(secrets.token_bytes(32)).recipient()))
            requester.sign("x", question(number).request(
                requester="rijnstad-police", kind=Kind.POLICE, trust_root="00112233445566aa", id="0" * 32,
                reply=path.read_text()))  # fmt: skip
            for name in ("identity", "request", "sequence"):
                files.write(Path(folder) / f"{number}.{name}", b"x")

        least = cpu_ms(floor, PART)

        def look(_: int) -> None:
            publish_pending(requester, PublishQueue(NoBus()), NOW_S, lambda *_: None)  # type: ignore[arg-type]

        look(0)
        for request in list(requester.register.unsent()):
            requester.notes.write(requester_messages.mark_published(requester, request), b"")
        look(0)
        idle = cpu_ms(look, PART)
    print(f"a request, of the first {PART}: {few:.1f} ms of CPU; of the last {PART} of {count}: {many:.1f} ms")
    print(f"key, signature and three durable files alone: {least:.1f} ms")
    print(f"a look for unsent messages among {count} that were sent: {idle:.2f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

"""Evidence folder of a minute of film: CPU seconds and bytes, without and with Content Credentials.

`python -m bench credentials FILM` seals a clip of twelve segments as a doorbell does, and verifies and opens it as its
requester would, in turns without and with `--c2pa`. The pictures are those of a film, scaled: without an argument those
of `.cache/vtest.avi`, which `make test` fetches. Needs c2pa-python. The confined process counts.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from agent.clients.requester import messages
from agent.clients.requester.identity import Requester
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.core.media import Gop, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs
from agent.platform import files
from agent.wire.fields import Kind
from bench.covers import LENGTH_S, PER_S, gops_of
from tests.clients.requester.conftest import NOW_S, ROOT_ID, question
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import lay_down

SEGMENTS, TURNS = 60 // LENGTH_S, 3
SIZES = ((1280, 720), (1920, 1080))


def later(gop: Gop, seconds: int) -> Gop:
    packets = tuple(replace(each, sensor_ns=BootNs(each.sensor_ns + seconds * NS_PER_S)) for each in gop.packets)
    return replace(gop, packets=packets, end_ns=BootNs(gop.end_ns + seconds * NS_PER_S))


def spent_s() -> float:
    """CPU of this process and of its ended children."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def main() -> None:
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ".cache/vtest.avi")
    print("| picture | sealed | folder | with C2PA | CPU | with C2PA |\n|---|---:|---:|---:|---:|---:|")
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as made:
            place = Path(made)
            requester = Requester.create(place / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)
            asked = requester.sent_request(messages.make_request(requester, question(), now_s=NOW_S).id)
            house = House((NOW_S - 6000) * 1000)
            description = StreamDescription(width, height, PER_S, width, height, live=False)
            gops = gops_of(source, width, height)
            for number in range(SEGMENTS):
                shown = [later(gop, number * LENGTH_S) for gop in gops]
                house.record(description, shown, event="a" * 26, poster=number == 0)
            sent = house.disclose(asked)
            lay_down(requester, asked, sent)
            cpu: dict[bool, list[float]] = {False: [], True: []}
            size = {}
            for _ in range(TURNS):
                for credentials, times in cpu.items():
                    out = place / f"opened-{credentials}"
                    began = spent_s()
                    opened = open_disclosure(requester, sent.id, now_s=NOW_S, out=out, credentials=credentials)
                    times.append(spent_s() - began)
                    size[credentials] = sum(path.stat().st_size for path in files.below(opened.folder))
            sealed = sum(len(part) for part in sent.parts)
            megabytes = " | ".join(f"{each / 1e6:.1f} MB" for each in (sealed, size[False], size[True]))
            seconds = " | ".join(f"{statistics.median(times):.1f} s" for times in cpu.values())
            print(f"| {width} × {height} | {megabytes} | {seconds} |")


if __name__ == "__main__":
    main()

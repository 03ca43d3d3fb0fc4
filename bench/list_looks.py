"""CPU of a look at a stored list of a trust root: the first, which verifies it, and a later one.

A desk's worker looks at its brokers every five seconds for each organisation. The argument is the number of agencies.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from agent.clients.requester import roots
from agent.clients.requester.identity import Requester
from agent.wire.area import Point
from agent.wire.fields import Kind
from agent.wire.identities import private_key_from_seed, public_key_of
from agent.wire.trust import RequesterEntry, RequesterKey, TrustBundle, TrustRegion
from tests.clients.requester.conftest import NOW_S
from tests.wire import samples

_REGION = TrustRegion(south_west=Point(lat=52.27, lon=4.72), north_east=Point(lat=52.44, lon=5.08))
_LOOKS = 5


def main() -> None:
    agencies = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        who = Requester.create(Path(folder) / "who", "agency-0", Kind.POLICE)
        keys = [who.key.text]
        keys += [public_key_of(private_key_from_seed(each.to_bytes(32, "big"))).text for each in range(1, agencies)]
        bundle = TrustBundle(
            v=1, root=samples.ROOT_KEY.id, version=1, issued_s=NOW_S,
            requesters=tuple(_entry(number, key) for number, key in enumerate(keys)),
        )  # fmt: skip
        known = roots.KnownRoots(who)
        known.accept(samples.ROOT_KEY.text, samples.several(bundle, samples.ROOT), NOW_S)
        first_s = later_s = 0.0
        for _ in range(_LOOKS):
            roots._verified.cache_clear()
            first_s += _look_s(known)
            later_s += _look_s(known)
    print(f"{agencies} agencies: first look {first_s / _LOOKS * 1000:.1f} ms, later {later_s / _LOOKS * 1000:.1f} ms")


def _entry(number: int, key: str) -> RequesterEntry:
    valid = RequesterKey(key=key, from_s=NOW_S, until_s=NOW_S + 86_400)
    name = f"Police of Town {number}"
    return RequesterEntry(id=f"agency-{number}", name=name, kind=Kind.POLICE, keys=(valid,), regions=(_REGION,))


def _look_s(known: roots.KnownRoots) -> float:
    began_s = time.process_time()
    known.entry(samples.ROOT_KEY.id, NOW_S)
    return time.process_time() - began_s


if __name__ == "__main__":
    main()

"""Capture signing: CPU and bytes for each GOP on the recorder's thread, beside the same without.

`python -m bench capture_signing` makes GOPs of a second, at several rates, and writes segments of five seconds as the
recorder does: NAL units into fragments, fragments sealed to three owners. Once without signatures, once with the key in
the same process, and once with the key behind a socket, as an installation has it: there the signer's share is counted
in this process too. In turns, median of nine rounds.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from agent.clients.opening import HybridIdentity
from agent.core.device_secret import DeviceSecret
from agent.core.media import EncodedPacket, Gop, StreamDescription
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.core.vault.age.recipients import HybridRecipient
from agent.core.vault.age.sealing import Sealer
from agent.custodian.capture_key import CaptureKey
from agent.ipc.protocol import CaptureCertificate, FromRecorder, GetCaptureCertificate, Signature, SignGop
from agent.ipc.rpc_client import RpcClient
from agent.ipc.rpc_server import role_server
from agent.media.fmp4 import FragmentedMp4Writer, film_units
from agent.media.onvif_sei import is_media_sei
from agent.recorder.capture_signing import CaptureAuthority, CaptureSigner
from agent.wire.identities import private_key_from_seed

GOPS = 20
IN_SEGMENT = 5
ROUNDS = 9
THIN = ((20_000, 5), (100_000, 10), (155_000, 10), (256_000, 10))
"""Bits and pictures a second at which messages weigh most (docs/decisions/0120)."""
RATES = (*THIN, (200_000, 10), (500_000, 15), (2_000_000, 15), (4_000_000, 30), (8_000_000, 30))
START_CODE = b"\0\0\0\1"
SETS = START_CODE + bytes.fromhex("6742c01e8c8d40501e900f08846a") + START_CODE + bytes.fromhex("68ce3c80")
"""Parameter sets of a picture of 640 × 480. No decoder reads these films."""


@dataclass
class Behind:
    """The key behind a socket."""

    client: RpcClient

    def certificate(self) -> bytes:
        return self.client.ask(GetCaptureCertificate()).certificate

    def sign(self, document: bytes) -> bytes:
        return self.client.ask(SignGop(document)).signature


def gops_of(bits: int, pictures: int) -> list[Gop]:
    """Seconds in which the keyframe is as large as eight other pictures."""
    share = bits // 8 // (pictures + 7)
    made = []
    for second in range(GOPS):
        packets = []
        for number in range(pictures):
            begin = b"\x65\x88" if not number else b"\x41\x9a"
            data = START_CODE + begin + os.urandom(share * (1 if number else 8)).replace(b"\0", b"\1")
            at = BootNs(second * NS_PER_S + number * NS_PER_S // pictures + 1)
            packets.append(EncodedPacket(SETS + data if not number else data, not number, at))
        made.append(Gop(tuple(packets), BootNs((second + 1) * NS_PER_S + 1)))
    return made


def record(gops: list[Gop], owners: tuple[HybridRecipient, ...], authority: CaptureAuthority | None) -> list[bytes]:
    """Writes the films as the recorder does. Returns them unsealed."""
    description = StreamDescription(640, 480, 15.0, 320, 240, live=True)
    signer = CaptureSigner(authority, "ab" * 8) if authority is not None else None
    films, sealer, writer = [], Sealer(bytes(16), owners, nonce=bytes(16)), FragmentedMp4Writer(description)
    chain = signer.chain if signer is not None else None
    for number, gop in enumerate(gops):
        first = number % IN_SEGMENT == 0
        units = None
        if signer is not None and chain is not None:
            signed = signer.signed(gop, description.codec, chain, moment, first=first)
            units, chain = signed.units, signed.chain
        if first:
            writer, sealer = FragmentedMp4Writer(description), Sealer(bytes(16), owners, nonce=bytes(16))
            films.append(b"")
        fragment = writer.begin(gop, units) if first else writer.add(gop, units)
        sealer.update(fragment)
        films[-1] += fragment
    return films


def moment(boot_ns: int) -> ClockReading:
    return ClockReading(BootNs(boot_ns), UtcNs(1_790_000_000 * NS_PER_S + boot_ns), ClockQuality.SYNCED)


def main() -> int:
    key = CaptureKey.of_device(DeviceSecret(bytes(32)), private_key_from_seed(bytes(32)))
    owners = tuple(HybridIdentity(bytes([number]) * 32).recipient() for number in range(3))

    def answer(question: FromRecorder) -> CaptureCertificate | Signature:
        if isinstance(question, SignGop):
            return Signature(key.sign(question.document))
        return CaptureCertificate(key.certificate())

    with tempfile.TemporaryDirectory() as folder:
        place, users = Path(folder) / "sock", frozenset({os.getuid()})
        server = role_server(place, FromRecorder, answer, users)
        server.start()
        client = RpcClient(place, users)
        try:
            measure(owners, {"without": None, "key here": key, "behind a socket": Behind(client)})
        finally:
            client.close()
            server.stop()
    return 0


def measure(owners: tuple[HybridRecipient, ...], ways: dict[str, CaptureAuthority | None]) -> None:
    head = "".join(f"{name:>17}" for name in ways)
    print(f"CPU ms for a GOP of a second, median of {ROUNDS} (segments of {IN_SEGMENT} s):")
    print(f"{'kbit/s':>8}{'pictures':>10}{head}{'bytes added':>13}{'share':>8}")
    for bits, pictures in RATES:
        gops = gops_of(bits, pictures)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, authority in ways.items():
                began = time.process_time()
                films = record(gops, owners, authority)
                spent[name].append(1000 * (time.process_time() - began) / GOPS)
        units = [unit for film in films for unit in film_units(film)]
        added = sum(len(unit) + 4 for unit in units if is_media_sei(unit, StreamDescription(0, 0, 1, 0, 0, True).codec))
        plain = sum(gop.size_bytes for gop in gops)
        row = "".join(f"{statistics.median(each):17.2f}" for each in spent.values())
        print(f"{bits // 1000:8}{pictures:10}{row}{added // GOPS:13}{100 * added / plain:7.2f}%")


if __name__ == "__main__":
    raise SystemExit(main())

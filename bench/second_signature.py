"""Cost of a second signature, beside Ed25519 alone: of an answer, a statement, a head of the ledger, a list, records.

`python -m bench second_signature` signs and reads the envelope of part 0 for answers of several sizes, approvals,
lists of owners, checkpoints, lists and packages of trust roots, a day of records, and excerpts of it. It prints CPU
milliseconds and bytes, both kinds in the same run. The records of an answer are random text of the usual length, so
reading it does not verify *their* signatures.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.device_secret import DeviceSecret
from agent.core.ledger.checkpoint import open_checkpoint, open_desk_checkpoint, sign_checkpoint, sign_desk_checkpoint
from agent.core.ledger.merkle import Frontier, leaf_hash
from agent.core.timebase import ClockQuality
from agent.core.vault.excerpt import Cover, ExcerptBuilder, covers_of, read_excerpt
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.hash_chain import FIRST
from agent.core.vault.manifest import (
    ChainHead,
    LineSigner,
    RawLine,
    follow,
    open_line,
    sign_record,
    split_lines,
    verify_chain,
)
from agent.core.vault.records import BootRecord, CoverageRecord, Record, SealedFile, SegmentRecord
from agent.wire import envelope, strictjson
from agent.wire.disclosures import DisclosureManifest
from agent.wire.envelope import HybridKey
from agent.wire.identities import MLDSA_KEY_CHARACTERS, MldsaPublicKey, PublicKey, private_key_from_seed, public_key_of
from agent.wire.statements import (
    Approval,
    Enrolment,
    NamedKey,
    NamedRecipient,
    SealedItem,
    open_statement,
    sign_statement,
)
from agent.wire.trust import TrustBundle, TrustStore, open_alone
from agent.wire.trust_keys import sign_as_root, trust_key_of_private
from tests.wire import samples

ROUNDS = 31
OTHERS_BYTES = 9_000
"""Approval, list of owners, ledger proof and frame of an answer with two owners."""
SEGMENT_BYTES = 1_300
"""Record, part and approved item of a segment."""
SEGMENTS = (1, 12, 120, 1_200, 8_000)
KIND = DisclosureManifest.PAYLOAD_TYPE
TRUST = TrustBundle.PAYLOAD_TYPE


def spent_ms(*ways: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median CPU milliseconds of each way. The ways take turns, so that a busy machine disturbs them alike."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for times, way in zip(found, ways, strict=True):
            began = time.process_time()
            way()
            times.append(1000 * (time.process_time() - began))
    return [statistics.median(times) for times in found]


def read_alone(data: bytes, key: PublicKey) -> None:
    envelope.open_envelope(data, KIND, {key.id: key}, limit_bytes=len(data))


def read_one(data: bytes, kind: str, key: PublicKey) -> None:
    envelope.open_envelope(data, kind, {key.id: key}, limit_bytes=len(data))


def read_both(data: bytes, key: PublicKey, second: MldsaPublicKey) -> None:
    envelope.read_hybrid(data, KIND, limit_bytes=len(data)).require(key, second)


def main() -> int:
    key, secret = private_key_from_seed(bytes(32)), DeviceSecret(bytes(32))
    mldsa = secret.mldsa_key()
    public, second = public_key_of(key), MldsaPublicKey.of(mldsa)
    words = os.urandom(1_000)
    one, two = key.sign(words), mldsa.sign(words)
    figures = spent_ms(
        lambda: key.sign(words),
        lambda: mldsa.sign(words),
        lambda: public.verifies(one, words),
        lambda: second.verifies(two, words),
        secret.mldsa_key,
    )
    names = ("sign, Ed25519", "sign, ML-DSA-44", "verify, Ed25519", "verify, ML-DSA-44", "derive the ML-DSA-44 key")
    for name, figure in zip(names, figures, strict=True):
        print(f"{name:>26} {figure:8.3f} ms")
    print("Part 0 of an answer (Ed25519 alone / both):")
    print(f"{'segments':>9}{'bytes':>12}{'added':>7}{'share':>8}{'sign ms':>16}{'read ms':>16}")
    for segments in SEGMENTS:
        payload = strictjson.encode_base64(os.urandom((OTHERS_BYTES + SEGMENT_BYTES * segments) * 3 // 4)).encode()
        alone = envelope.sign(KIND, payload, key)
        both = envelope.sign_hybrid(KIND, payload + b"x" * 1_770, key, mldsa)  # with the key in the payload
        sign = spent_ms(
            partial(envelope.sign, KIND, payload, key), partial(envelope.sign_hybrid, KIND, payload, key, mldsa)
        )
        read = spent_ms(partial(read_alone, alone, public), partial(read_both, both, public, second))
        added = len(both) - len(alone)
        columns = "".join(f"{first:8.2f}{last:8.2f}" for first, last in (sign, read))
        print(f"{segments:9}{len(alone):12}{added:7}{100 * added / len(alone):7.2f}%{columns}")
    print("A statement of an owner (Ed25519 alone / both; a list without the second keys / with them):")
    print(f"{'':>22}{'bytes':>9}{'added':>7}{'sign ms':>16}{'read ms':>16}")
    for name, statement, size in statements(key):
        payload = strictjson.encode(statement)
        kind, signers = type(statement).PAYLOAD_TYPE, {public.id: NamedKey.of("a", key).public_keys}
        alone, both = envelope.sign(kind, payload[:size], key), sign_statement(kind, payload, key)
        sign = spent_ms(partial(envelope.sign, kind, payload[:size], key), partial(sign_statement, kind, payload, key))
        read = spent_ms(partial(read_one, alone, kind, public), partial(open_statement, both, kind, signers))
        columns = "".join(f"{first:8.2f}{last:8.2f}" for first, last in (sign, read))
        print(f"{name:>22}{len(alone):9}{len(both) - len(alone):7}{columns}")
    print("A head of the ledger (a desk's, by Ed25519 alone / a doorbell's, by both):")
    head = Frontier().append(leaf_hash(words))
    alone, both = sign_desk_checkpoint(head, key, "police"), sign_checkpoint(head, key, mldsa)
    sign = spent_ms(partial(sign_desk_checkpoint, head, key, "police"), partial(sign_checkpoint, head, key, mldsa))
    read = spent_ms(
        partial(open_desk_checkpoint, alone, public, "police"),
        partial(open_checkpoint, both, HybridKey(public, second)),
    )
    columns = "".join(f"{first:8.2f}{last:8.2f}" for first, last in (sign, read))
    print(f"{'checkpoint':>22}{len(alone):9}{len(both) - len(alone):7}{columns}")
    print("A list of a trust root (Ed25519 alone / a pair), and a package of two of three people:")
    listed = strictjson.encode(samples.bundle())
    alone, both = envelope.sign(TRUST, listed, key), signed_by_pair(key, listed)
    pair = trust_key_of_private(key)
    sign = spent_ms(partial(envelope.sign, TRUST, listed, key), partial(signed_by_pair, key, listed))
    read = spent_ms(partial(read_one, alone, TRUST, public), partial(open_alone, both, {pair.id: pair}))
    columns = "".join(f"{first:8.2f}{last:8.2f}" for first, last in (sign, read))
    print(f"{'list of a root':>22}{len(alone):9}{len(both) - len(alone):7}{columns}")
    store = TrustStore().with_root(samples.ROOT_KEY)
    for sets in (1, 2, 5):
        package = samples.package(**rotations(sets))
        (opened,) = spent_ms(partial(store.open, package))
        print(f"{f'package, {sets} sets of keys':>22}{len(package):9}{'':23}{opened:16.2f}")
    measure_records(key, mldsa)
    measure_excerpts(key, mldsa)
    return 0


def records_of_a_day(segment_s: int) -> Iterator[Record]:
    """A `boot`, a segment each `segment_s`, and `coverage` each quarter of an hour."""
    boot, second = "ab" * 16, MldsaPublicKey.of(DeviceSecret(bytes(32)).mldsa_key())
    at = Stamp(boot=boot, at_us=0, utc_ms=1_800_000_000_000, quality=ClockQuality.SYNCED)
    yield BootRecord(device="ab" * 8, device_mldsa=second.text, epoch=1, at=at)
    file = SealedFile(size=2_500_000, header_size=5_000, sha256_header="ab" * 32, sha256_payload="cd" * 32)
    for end_s in range(segment_s, 86_401, segment_s):
        span = _span_until(boot, end_s, segment_s)
        name = segment_id(end_s.to_bytes(16, "big"))
        yield SegmentRecord(
            id=name, event=name, ordinal=end_s, span=span, epoch=1, file=file, key="ef" * 32, prev_in_clip="01" * 32
        )
        if end_s % 900 == 0:
            yield CoverageRecord(span=_span_until(boot, end_s, 900))


def _span_until(boot: str, end_s: int, length_s: int) -> TimeSpan:
    begin_s = end_s - length_s
    return TimeSpan(
        boot=boot, start_us=begin_s * 10**6, end_us=end_s * 10**6, utc_ms=1_800_000_000_000 + begin_s * 1000,
        quality=ClockQuality.SYNCED,
    )  # fmt: skip


def written(records: Sequence[Record], key: Ed25519PrivateKey, second: MLDSA44PrivateKey | None) -> list[bytes]:
    """Returns the lines of a manifest; by Ed25519 alone if `second` is None."""
    lines, tip = [], ChainHead()
    signer = None if second is None else LineSigner(key.sign, second.sign)
    for record in records:
        signed = sign_record(record, tip, key.sign) if signer is None else signer.sign(record, tip)
        if signer is not None:
            signer.wrote(signed)
        tip = tip.after(signed)
        lines.append(signed.line + b"\n")
    return lines


def read_alone_lines(lines: Sequence[bytes], key: PublicKey) -> None:
    """Parses each line and checks its first signature and the chain, as before there were second ones."""
    before = FIRST
    for line in lines:
        signed = open_line(line[:-1], key)
        assert signed.previous == before
        before = signed.chain_hash


def measure_records(key: Ed25519PrivateKey, second: MLDSA44PrivateKey) -> None:
    public, second_public = public_key_of(key), MldsaPublicKey.of(second)
    print("A day of records (Ed25519 alone / some with both):")
    print(f"{'segments':>22}{'bytes':>9}{'added':>8}{'share':>8}{'sign ms':>16}{'read ms':>16}")
    for segment_s in (30, 300, 900):
        records = list(records_of_a_day(segment_s))
        alone, both = written(records, key, None), written(records, key, second)
        sign = spent_ms(partial(written, records, key, None), partial(written, records, key, second), rounds=5)
        read = spent_ms(
            partial(read_alone_lines, alone, public),
            partial(verify_chain, both, public, second_public),
            rounds=5,
        )
        assert verify_chain(both, public, second_public) == ()
        size, added = sum(map(len, alone)), sum(map(len, both)) - sum(map(len, alone))
        columns = "".join(f"{first:8.0f}{last:8.0f}" for first, last in (sign, read))
        print(f"{86_400 // segment_s:22}{size:9}{added:8}{100 * added / size:7.1f}%{columns}")


def measure_excerpts(key: Ed25519PrivateKey, second: MLDSA44PrivateKey) -> None:
    """Excerpts of a day of continuous recording: `records` of `doorward vault export`. And what an answer has instead:
    the doorbell looks for the same second signatures, and says a word for each record."""
    public, second_public = public_key_of(key), MldsaPublicKey.of(second)
    lines = list(split_lines([b"".join(written(list(records_of_a_day(30)), key, second))]))
    found = (step.signed for step in follow(lines))
    segments = {one.record.id: one.line for one in found if one is not None and isinstance(one.record, SegmentRecord)}
    names = list(segments)
    print("Excerpts of that day (segments; the lines alone / with what covers them), and the words of an answer:")
    print(f"{'segments':>22}{'alone':>9}{'with':>9}{'make ms':>9}{'verify ms':>11}{'words':>8}{'look ms':>9}")
    middle = 5 * 30 + 3
    chosen = {"1 in front of 29": names[0:1], "1, newest": names[-1:], "a clip of 4": names[middle : middle + 4]}
    chosen |= {"an hour, 120": names[middle : middle + 120], "one an hour, 24": names[3::120], "all, 2880": names}
    for name, some in chosen.items():
        wanted = {each: segments[each] for each in some}
        # The newest one waits for the next `coverage`, which is written after the export.
        given = lines[:-1] if name == "1, newest" else lines

        def make(given: list[RawLine] = given, wanted: dict[str, bytes] = wanted) -> list[bytes]:
            builder = ExcerptBuilder(wanted)
            made = [line for step in follow(given) for line in builder.add(step)]
            return [*made, *builder.finish(0, public, second_public, key.sign, second.sign)]

        made = make()
        report = read_excerpt(made, public, second_public)
        assert not report.faults
        assert len(report.records) == len(some)
        (making,) = spent_ms(make, rounds=5)
        (reading,) = spent_ms(partial(read_excerpt, made, public, second_public), rounds=5)
        alone, both = (sum(len(line) + 1 for line in each) for each in (wanted.values(), made))

        def look(given: list[RawLine] = given, wanted: dict[str, bytes] = wanted) -> dict[str, Cover]:
            return covers_of(follow(given), wanted, public, second_public)

        assert Cover.NONE not in look().values()
        (looking,) = spent_ms(look, rounds=5)
        words = len(strictjson.encode_base64(b'"covered",' * len(some)))
        print(f"{name:>22}{alone:9}{both:9}{making:9.1f}{reading:11.1f}{words:8}{looking:9.1f}")


def signed_by_pair(key: Ed25519PrivateKey, payload: bytes) -> bytes:
    """The envelope of a list, with the derivation of the second key."""
    made = sign_as_root(key, envelope.pae(TRUST, payload))
    return envelope.with_signatures(TRUST, payload, {public_key_of(key).id: made})


def rotations(sets: int) -> dict[str, Any]:
    """For `samples.package`: root files in which a third person is another one each time."""
    one, two = samples.ROOT_SIGNERS[:2]
    files = [
        samples.root_file(
            version=number, keys=tuple(map(samples.pair_text, (one, two, samples.private_key(f"person {number}"))))
        )
        for number in range(1, sets + 1)
    ]
    signed = [samples.several(each, *((samples.ROOT,) if each.version == 1 else ()), one, two) for each in files]
    return {"roots": tuple(signed), "root": files[-1]}


def statements(key: Ed25519PrivateKey) -> Iterator[tuple[str, Approval | Enrolment, int]]:
    """Yields a name, a statement, and the bytes of its payload without second keys."""
    device = public_key_of(key).text
    stated: dict[str, Any] = {"v": 1, "device": device, "owner_time_ms": 0, "nonce": "0" * 32}
    recipient = "age1pq1" + "p" * 1951
    for count in (1, 12, 1_200):
        items = tuple(
            SealedItem(
                id=f"{number:026}".translate(str.maketrans("0189", "abcd")),
                payload_sha256=f"{number:064x}",
                header_sha256=f"{number:064x}",
            )
            for number in range(count)
        )
        yes = Approval(**stated, request="0" * 64, reply=recipient + "p", segments=items)
        yield f"yes to {count} segments", yes, len(strictjson.encode(yes))
    for count in (1, 2, 8):
        keys = [private_key_from_seed(bytes([number + 1]) * 32) for number in range(count)]
        owners = Enrolment(
            **stated,
            epoch=1,
            recipients=tuple(
                NamedRecipient(name=f"o{number}", recipient=recipient + str(number + 2)) for number in range(count)
            ),
            approvers=tuple(NamedKey.of(f"o{number}", each) for number, each in enumerate(keys)),
            recovery=recipient + "p",
            device_mldsa="0" * 64,
        )
        yield f"list of {count} owners", owners, len(strictjson.encode(owners)) - count * (MLDSA_KEY_CHARACTERS + 11)


if __name__ == "__main__":
    raise SystemExit(main())

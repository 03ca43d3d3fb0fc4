"""Every parser that reads what another person wrote, each with examples of what it is meant to read.

A target takes bytes and may raise only our own errors; some check more.  `run.py` feeds them what
coverage-guided fuzzing finds, `test_parsers_on_the_corpus.py` the examples and everything that was ever found.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cryptography.x509 import load_pem_x509_certificate

from agent.cli.times import parse_seconds
from agent.clients.opening import HybridIdentity, open_bytes, parse_identity_file
from agent.clients.owner.live_stream import LiveOpener
from agent.clients.owner.recovery_kit import read_kit
from agent.clients.requester.capture_signatures import capture_of, trusted_root
from agent.clients.requester.redaction_list import read_redactions
from agent.clients.requester.request_builder import parse_circle
from agent.clients.requester.root_news import JoinedChunks
from agent.clients.time_confirmations import TimeTrust, confirmations
from agent.config.reading import parse as parse_configuration
from agent.core.alerts.alert_messages import AlertMessage
from agent.core.disclosure import read_manifest, reply_tag_in
from agent.core.ledger.checkpoint import Checkpoint, open_checkpoint, open_time_checkpoint, origin_of
from agent.core.ledger.cosignature import conflict_size, find_cosignatures
from agent.core.ledger.entries import decode_entry, encode_entry
from agent.core.ledger.merkle import Frontier, leaf_hash, root_of
from agent.core.ledger.time_log import require_opens
from agent.core.media import VideoCodec
from agent.core.motion_accuracy.labels import parse_labels
from agent.core.setup_code import SetupCode, parse_setup_code
from agent.core.talk.frames import FrameReader, read_content
from agent.core.talk.offers import TalkOffer
from agent.core.vault.age import recipients
from agent.core.vault.age.header import parse_header
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.excerpt import read_excerpt
from agent.core.vault.fields import parse_name
from agent.core.vault.manifest import parse_line, verify_chain
from agent.core.vault.segment import split_media, split_poster
from agent.errors import DoorwardError, FormatError
from agent.ipc import protocol
from agent.ipc.control_operations import OPERATIONS, read_operation
from agent.ipc.rpc import ROLE_SOCKET, read_answer, read_request, refusal, request_frame, success
from agent.media.onvif_sei import is_media_sei, parse_sei
from agent.wire import envelope, inbound, statements, strictjson, uploads
from agent.wire.broker_directory import directory_sha256, open_directory
from agent.wire.broker_enrolment import device_proof, proven_device, read_ticket
from agent.wire.control import Frame, decode_statement, encode_statement, read_frame, split_body, write_frame
from agent.wire.disclosures import DisclosureManifest
from agent.wire.identities import load_private_key, parse_public_key
from agent.wire.link.handshake import DeviceHandshake, has_knock
from agent.wire.link.session import LinkSession, SessionEnded
from agent.wire.time_proofs import TimeOpening, TimeProof, TimeStamp
from agent.wire.topics import RequestTopic, parse_topic
from agent.wire.trust import TrustStore
from agent.wire.trust_keys import parse_trust_key
from agent.wire.trust_package import index_of, read_index, split_directory
from agent.wire.witness_keys import parse_witness
from tests.capture_films import DEVICE, signed_film
from tests.live_parts import frame_of, part_of
from tests.wire import enrolment_vectors, samples
from tests.wire.link import vectors as link_vectors

__all__ = ["FOUND", "TARGETS", "Target"]

FOUND = Path(__file__).parent / "found"
"""Inputs that once broke a target, `<target>-<what it broke>`."""
VECTORS = Path(__file__).parents[1] / "vectors"
TALK = json.loads((VECTORS / "talk" / "session.json").read_text(encoding="utf-8"))
TIMES = json.loads((VECTORS / "ledger" / "time.json").read_text(encoding="utf-8"))
AUTHORITY = load_pem_x509_certificate((VECTORS / "ledger" / "authority.pem").read_bytes())
"""The authority of `foreign.tsr`, a stamp that `openssl ts` made on another text."""
EXAMPLE = Path(__file__).parents[2] / "config" / "doorward.toml"
TRUST, _ = TrustStore().with_root(samples.ROOT_KEY).accept(samples.several(samples.bundle(), samples.ROOT))
TOPIC = RequestTopic("287-379", samples.request().requester, 0)
IDENTITY = HybridIdentity(b"\1" * 32)
LIMIT_BYTES = 1 << 20
MESSAGES = {type(message) for message in samples.EVERY_MESSAGE.values()} | {uploads.UploadNote}


@dataclass(frozen=True)
class Target:
    """`run` raises what it must not: that is a finding."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterator[bytes]]

    def __call__(self, data: bytes) -> None:
        try:
            self.run(data)
        except DoorwardError:
            return


def text_of(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def broker_directory_of(data: bytes) -> None:
    """A directory that some bundle names: what it says of a cell is one of its brokers."""
    directory = open_directory(data, samples.ROOT_KEY.id, directory_sha256(data))
    for broker in directory.brokers:
        assert broker.address in directory.brokers_of(broker.cells[0].south_west)


def inbound_message(data: bytes) -> None:
    """Everything that passes was signed by the requester: only an unchanged example is."""
    opened = inbound.verify_inbound(data, TOPIC, TRUST, samples.NOW_S)
    assert opened.payload in SIGNED_PAYLOADS


def any_message(data: bytes) -> None:
    """Any kind: a message that was read is written as bytes that read the same."""
    for kind in MESSAGES:
        try:
            value = strictjson.decode(data, kind, limit_bytes=LIMIT_BYTES)
        except FormatError:
            continue
        assert strictjson.decode(strictjson.encode(value), kind, limit_bytes=LIMIT_BYTES) == value


def ledger_entry(data: bytes) -> None:
    assert encode_entry(decode_entry(data)) == data


def frontier(data: bytes) -> None:
    assert Frontier.load(data).dump() == data


def frame(data: bytes) -> None:
    read = read_frame(io.BytesIO(data))
    sizes = [] if read is None else read.head.get("sizes", [])
    # Each caller has the numbers from a typed message, or has checked them as `kept-statement` does.
    if read is not None and isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes):
        split_body(sizes, read.body)


def topic(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert str(parse_topic(text)) == text


def encoded(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert strictjson.encode_base64(strictjson.decode_base64(text)) == text


def opened_disclosure(data: bytes) -> None:
    """An unsigned manifest is never believed."""
    read_manifest(data, samples.request(), samples.SHA)
    raise AssertionError("a disclosure was believed")


def local_rpc(data: bytes) -> None:
    """A frame of another role or of an owner's client, read as a request and as an answer to each request."""
    read = read_frame(io.BytesIO(data), ROLE_SOCKET.request)
    if read is None:
        return
    for kinds in (protocol.FromRecorder, protocol.FromUplink):
        with contextlib.suppress(DoorwardError):
            asked = read_request(read.head, kinds)  # type: ignore[var-annotated, arg-type] # a union is no type[T]
            assert read_request(request_frame(asked).head, kinds) == asked  # type: ignore[arg-type]
    for kind in (*get_args(protocol.FromRecorder), *get_args(protocol.FromUplink)):
        with contextlib.suppress(DoorwardError):
            read_answer(kind, read.head)
    operation = OPERATIONS.get(str(read.head.get("op")))
    if operation is not None:
        with contextlib.suppress(DoorwardError):
            read_operation(operation.name, read)


def link_handshake(data: bytes) -> None:
    """Both ends of the link take the vectors' messages and no other."""
    client, device = link_vectors.handshake("owner", *link_vectors.encapsulations()[0])
    secret = link_vectors.fixed("link secret of owner")
    assert has_knock(data, secret) == (data == client.hello)
    if len(data) == len(client.hello):
        with contextlib.suppress(DoorwardError):
            DeviceHandshake(data, samples.DEVICE_KEY, samples.DEVICE.sign, x25519=secret)
    for finish, expected in ((client.finish, "answer"), (device.finish, "proof")):
        with contextlib.suppress(DoorwardError):
            finish(data)
            assert data == bytes.fromhex(LINK_SESSION[expected])


def link_record(data: bytes) -> None:
    """A record of a stranger is ignored. One of the other end has an effect, or ends the session."""
    reader = LinkSession(b"\1" * 32, b"\2" * 32)
    reader.receive(data)
    assert (reader.received, reader.ended) == (0, None)
    heard = reader._on_content(data)
    assert reader.ended is None or heard == SessionEnded(reader.ended)


def _talk_offers() -> Iterator[bytes]:
    yield envelope.read_unverified(TALK["envelope"].encode()).payload


def live_part(data: bytes) -> None:
    """A frame of live view opens only as it was sealed. Its key file may be any that says the same: sealing draws
    random numbers, so another process makes another one."""
    with contextlib.suppress(DoorwardError):
        opened = LiveOpener([_LIVE_IDENTITY]).open(data)
        assert opened == b"picture"
        assert data.endswith(_LIVE_FRAME)


_LIVE_IDENTITY = HybridIdentity(bytes(range(32)))
_LIVE_FRAME = frame_of(b"picture")


def _live_parts() -> tuple[bytes, ...]:
    return part_of(b"picture", [_LIVE_IDENTITY.recipient()]), part_of(b"picture", [], ctr=300)


def talk_frame(data: bytes) -> None:
    """A sealed frame opens only as it was sealed. Its content is read or refused."""
    reader = FrameReader(strictjson.decode_base64(TALK["key"]), bytes.fromhex(TALK["session"]))
    with contextlib.suppress(FormatError):
        reader.open(data)
        assert data.hex() in {row["frame"] for row in (*TALK["frames"], *TALK["refused"])}
    if len(data) in (128, 256, 384, 512):
        with contextlib.suppress(FormatError):
            frame = read_content(1, data)
            assert len(frame.content) <= len(data) - 3


def _vectors(folder: str) -> Iterator[bytes]:
    for path in sorted((VECTORS / folder).glob("*.json")):
        vector = json.loads(path.read_text())
        yield (
            vector["envelope"].encode() if "envelope" in vector else strictjson.decode_base64(vector["envelope_base64"])
        )


def _payloads() -> Iterator[bytes]:
    for path in sorted((VECTORS / "wire" / "messages").glob("*.json")):
        yield json.loads(path.read_text())["payload"].encode()


def _in_envelopes() -> Iterator[bytes]:
    for path in sorted((VECTORS / "wire" / "messages").glob("*.json")):
        if found := json.loads(path.read_text()).get("envelope"):
            yield found.encode()


def _manifest_lines() -> Iterator[bytes]:
    yield from (VECTORS / "vault" / "manifest.0").read_bytes().splitlines()[:12]


def _age_files() -> Iterator[bytes]:
    for path in VECTORS.glob("*.age"):
        yield path.read_bytes()[:6000]


def _entries() -> Iterator[bytes]:
    for each in json.loads((VECTORS / "ledger" / "entries.json").read_text()):
        yield each["leaf"].encode()


def _notes() -> Iterator[bytes]:
    for note in json.loads((VECTORS / "ledger" / "checkpoint.json").read_text())["notes"]:
        yield note.encode()


def _cosignatures(data: bytes) -> object:
    text = TIMES["opening"]["proof"]["checkpoint"].partition("\n\n")[0] + "\n"
    return find_cosignatures(text, data.decode("utf-8", "replace"), [parse_witness(TIMES["witness"])])


def _time_opening(data: bytes) -> object:
    """An opening that is read leads to its ledger or raises an error of ours."""
    opening = strictjson.decode(data, TimeOpening, limit_bytes=LIMIT_BYTES)
    head = open_time_checkpoint(opening.proof.checkpoint.encode(), samples.DEVICE_KEYS)
    ledger = Checkpoint(origin_of(samples.DEVICE_KEY), 5, root_of(leaf_hash(bytes([n])) for n in range(5)))
    return require_opens(opening, head, ledger, samples.DEVICE_KEY)


def _time_stamp(data: bytes) -> object:
    """Bytes of a stranger confirm nothing, and only doubts come of them."""
    proof = TimeProof(
        **{**TIMES["opening"]["proof"], "stamps": (TimeStamp(name="tsa", response=strictjson.encode_base64(data)),)}
    )
    _, found, _ = confirmations(proof, samples.DEVICE_KEYS, TimeTrust(roots=(AUTHORITY,)))
    assert not found
    return found


def _topics() -> Iterator[bytes]:
    table = json.loads((VECTORS / "wire" / "topics.json").read_text())
    for each in [table["request"], table["receipt"], table["bulletin"], table["filter"], *table["upload"]]:
        yield each.encode()


def _keys() -> Iterator[bytes]:
    for key in json.loads((VECTORS / "wire" / "keys.json").read_text()):
        yield key["public"].encode()


def _trust_keys() -> Iterator[bytes]:
    yield samples.ROOT_KEY.text.encode()
    yield from _keys()


def _private_keys() -> Iterator[bytes]:
    for key in json.loads((VECTORS / "wire" / "keys.json").read_text()):
        yield key["private_pem"].encode()


def _signed(envelopes: Iterable[bytes]) -> Iterator[bytes]:
    """Everything that the requester's key has ever signed: only this may pass."""
    for data in envelopes:
        try:
            yield envelope.read_unverified(data).payload
        except FormatError:
            continue


def _link_messages() -> Iterator[bytes]:
    for name in ("hello", "answer", "proof"):
        yield bytes.fromhex(LINK_SESSION[name])


def _link_records() -> Iterator[bytes]:
    for each in LINK_SESSION["to_device"]:
        yield bytes.fromhex(each["record"])
        yield bytes.fromhex(each["content"])


def _requests() -> Iterator[bytes]:
    for asked in (
        protocol.DeliverMessage("a", b"b"),
        protocol.GetHeldSegments(3),
        protocol.DeliverLinkFrames((protocol.LinkFrame("a", b"b"),)),
        protocol.AckAlert(AlertMessage("a", "b", "c", (1,)), ""),
    ):
        yield write_frame(request_frame(asked))
    yield write_frame(success(protocol.HeldSegments(("a",), None)))
    yield write_frame(refusal(FormatError("No.", remedy="Ask better.")))
    yield write_frame(Frame({"op": "list", "from_ms": 0, "to_ms": 1}))


def given(*examples: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter(examples)


SIGNED_PAYLOADS = frozenset(_signed(itertools.chain(_vectors("wire/requests"), _in_envelopes())))
LINK_SESSION = json.loads((VECTORS / "link" / "sessions.json").read_text())[0]
RECIPIENT, SECRET = str(IDENTITY.recipient()).encode(), str(IDENTITY).encode()
SETUP_CODE = SetupCode(bytes(16), "Huis", "correct horse", "front-door", "NL", "Europe/Amsterdam").text().encode()
FRAME = encode_statement(b"{}", (b"a", b"bc"))


def capture_signatures(data: bytes) -> None:
    """A requester's check of a film, which must find a fault rather than end."""
    report = capture_of(data, DEVICE)
    if report is not None:
        trusted_root([report], DEVICE)


def _signed_films() -> Iterator[bytes]:
    for codec in VideoCodec:
        yield signed_film(codec).segments[0][:5000]


def capture_message(data: bytes) -> None:
    for codec in VideoCodec:
        if is_media_sei(data, codec):
            parse_sei(data, codec)


def _hybrid(data: bytes) -> None:
    envelope.read_hybrid(data, DisclosureManifest.PAYLOAD_TYPE, limit_bytes=len(data) + 1)


def _capture_messages() -> Iterator[bytes]:
    for codec in VideoCodec:
        yield from (unit for unit in signed_film(codec).units if is_media_sei(unit, codec))


TARGETS: dict[str, Target] = {
    "inbound": Target(inbound_message, lambda: _vectors("wire/requests")),
    "envelope": Target(envelope.read_unverified, _in_envelopes),
    "message": Target(any_message, _payloads),
    "trust-bundle": Target(TrustStore().with_root(samples.ROOT_KEY).accept, _in_envelopes),
    "broker-directory": Target(broker_directory_of, given(strictjson.encode(samples.directory()))),
    "directory-chunk": Target(
        lambda data: JoinedChunks(9, 122_880).put(0, data),
        given(*split_directory(strictjson.encode(samples.directory()))),
    ),
    "trust-index": Target(read_index, given(index_of(samples.package()))),
    "enrolment": Target(lambda data: statements.open_enrolment(data, None), _in_envelopes),
    "disclosure": Target(opened_disclosure, _in_envelopes),
    "hybrid-envelope": Target(_hybrid, _in_envelopes),
    "broker-ticket": Target(read_ticket, given(strictjson.encode(enrolment_vectors.TICKET))),
    "device-proof": Target(
        text_of(lambda text: proven_device(text, enrolment_vectors.TLS_KEY)),
        given(device_proof(samples.DEVICE, enrolment_vectors.TLS_KEY).encode()),
    ),
    "set-up-code": Target(text_of(parse_setup_code), given(SETUP_CODE)),
    "topic": Target(topic, _topics),
    "base64": Target(encoded, given(b"", b"AAECAw==", b"_-8=")),
    "control-frame": Target(frame, given(FRAME, b"")),
    "kept-statement": Target(decode_statement, given(FRAME)),
    "link-handshake": Target(link_handshake, _link_messages),
    "link-record": Target(link_record, _link_records),
    "local-rpc": Target(local_rpc, _requests),
    "public-key": Target(text_of(parse_public_key), _keys),
    "trust-key": Target(text_of(parse_trust_key), _trust_keys),
    "private-key": Target(text_of(load_private_key), _private_keys),
    "ledger-entry": Target(ledger_entry, _entries),
    "cosignatures": Target(_cosignatures, lambda: iter([TIMES["opening"]["proof"]["cosignatures"].encode()])),
    "witness key": Target(text_of(parse_witness), lambda: iter([TIMES["witness"].encode()])),
    "witness conflict": Target(conflict_size, lambda: iter([b"0\n", b"20852014\n"])),
    "time opening": Target(_time_opening, lambda: iter([json.dumps(TIMES["opening"]).encode()])),
    "time stamp": Target(_time_stamp, lambda: iter([(VECTORS / "ledger" / "foreign.tsr").read_bytes()])),
    "checkpoint": Target(lambda data: open_checkpoint(data, samples.DEVICE_KEYS), _notes),
    "frontier": Target(frontier, given(Frontier().append(b"x" * 32).dump())),
    "manifest-line": Target(parse_line, _manifest_lines),
    "excerpt": Target(
        lambda data: read_excerpt(data.splitlines(), samples.DEVICE_KEY, samples.MLDSA_KEY),
        lambda: (path.read_bytes() for path in sorted((VECTORS / "excerpt").glob("*_*"))),
    ),
    "manifest": Target(
        lambda data: verify_chain(data.splitlines(keepends=True), samples.DEVICE_KEY),
        lambda: iter([b"\n".join(_manifest_lines())]),
    ),
    "age-header": Target(parse_header, _age_files),
    "reply-tag": Target(reply_tag_in, _age_files),
    "age-file": Target(lambda data: open_bytes(data, [IDENTITY]), _age_files),
    "age-identities": Target(text_of(parse_identity_file), given(b"# mine\n" + SECRET + b"\n")),
    "age-recipient": Target(text_of(parse_recipient), given(RECIPIENT, samples.X25519_RECIPIENT.encode())),
    "bech32": Target(text_of(recipients.bech32_decode), given(RECIPIENT, SECRET)),
    "recovery-kit": Target(text_of(read_kit), given(b"Doorward\n" + SECRET + b"\n")),
    "segment": Target(split_media, lambda: iter([(VECTORS / "vault" / "plaintext.mp4").read_bytes()[:4000]])),
    "capture-signatures": Target(capture_signatures, _signed_films),
    "capture-message": Target(capture_message, _capture_messages),
    "poster": Target(split_poster, lambda: iter([(VECTORS / "vault" / "poster.jpg").read_bytes()])),
    "vault-name": Target(text_of(parse_name), given(b"segments/r/r72iu6esjgk3qdszuyrny5nrom.age", b"manifest")),
    "redaction-list": Target(
        read_redactions, given(b'[{"kind":"face","from_ms":0,"until_ms":9,"places":[[0,0,0,9,9]]}]')
    ),
    "labels": Target(parse_labels, given(b'{"t":1,"labels":[]}\n', b"[]")),
    "live-part": Target(live_part, _live_parts),
    "talk-frame": Target(talk_frame, lambda: (bytes.fromhex(row["frame"]) for row in TALK["frames"])),
    "talk-offer": Target(lambda data: strictjson.decode(data, TalkOffer), _talk_offers),
    "circle": Target(text_of(parse_circle), given(b"52.0902,5.1115,300")),
    "time": Target(text_of(lambda text: parse_seconds(text, "--from")), given(b"2026-11-25T10:00:00Z", b"2026-11-25")),
    "configuration": Target(
        text_of(lambda text: parse_configuration(text, Path("doorward.toml"))),
        lambda: iter([EXAMPLE.read_bytes()]),
    ),
}

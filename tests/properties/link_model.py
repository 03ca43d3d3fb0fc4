"""Every way in which an attacker can deliver the messages of the link, tried on the code.

The attacker is the relay. It has the secret of a removed owner, the key of one listed browser, and a doorbell that the
same owner uses too. It sees and keeps every message, delivers any of them to any end in any order, puts messages
together from the parts of others, and makes new ones with each key that it has or has learned.

`handshakes` and `records` explore all deliveries within their bounds and return the rules that were broken.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import DoorwardError
from agent.wire.envelope import pae
from agent.wire.identities import PublicKey, private_key_from_seed, public_key_of
from agent.wire.link import handshake, schedule
from agent.wire.link.handshake import ClientHandshake, DeviceHandshake
from agent.wire.link.session import CLIENT, DEVICE, LinkSession, StreamData

__all__ = ["handshakes", "records"]

NAMES = ("doorbell", "owner", "browser", "other doorbell")
DOORBELL, OWNER, BROWSER, OTHER = (private_key_from_seed(hashlib.sha256(name.encode()).digest()) for name in NAMES)
"""The attacker has the last two."""
SECRET = b"\1" * 32
START, X25519_END = 1121, 33
NONCE = bytes(12)


def fixed(name: str, size: int = 32) -> bytes:
    return hashlib.shake_128(name.encode()).digest(size)


def client(name: str, device: PublicKey, key: Ed25519PrivateKey) -> ClientHandshake:
    own = public_key_of(key)
    return ClientHandshake(SECRET, device, own, key.sign, x25519=fixed(name), mlkem=fixed(f"{name} kem", 64))


@dataclass
class Attacker:
    """`roots`: keys of handshakes in which it has a share of the agreement. `signatures`: that it has opened or made,
    with the key that is said to have made each."""

    roots: dict[bytes, schedule.HandshakeKeys] = field(default_factory=dict)
    signatures: set[tuple[bytes, bytes]] = field(default_factory=set)

    def joins(self, hello: bytes, name: str) -> bytes:
        """Answers `hello` with shares that it makes: the start of the answer."""
        own = X25519PrivateKey.from_private_bytes(fixed(name))
        mlkem, ciphertext = MLKEM768PublicKey.from_public_bytes(hello[34:1218]).encapsulate()
        start = b"\2" + own.public_key().public_bytes_raw() + ciphertext
        x25519 = own.exchange(X25519PublicKey.from_public_bytes(hello[2:34]))
        self.roots[start] = schedule.HandshakeKeys.of(mlkem, x25519, schedule.device_transcript(hello, start))
        return start

    def opens(self, name: str, hello: bytes, answer: bytes) -> None:
        """It has begun this handshake: it learns the root, and the doorbell's signature."""
        start, sealed = answer[:START], answer[START:]
        mlkem = MLKEM768PrivateKey.from_seed_bytes(fixed(f"{name} kem", 64)).decapsulate(start[X25519_END:])
        own = X25519PrivateKey.from_private_bytes(fixed(name))
        x25519 = own.exchange(X25519PublicKey.from_public_bytes(start[1:X25519_END]))
        keys = schedule.HandshakeKeys.of(mlkem, x25519, schedule.device_transcript(hello, start))
        self.roots[start] = keys
        with suppress(Exception):
            plain = ChaCha20Poly1305(keys.seal_of(DEVICE)).decrypt(NONCE, sealed, None)
            self.signatures.add((public_key_of(DOORBELL).raw, plain[:64]))

    def answers(self, hello: bytes, start: bytes, signer: bytes, signature: bytes) -> bytes:
        """An answer that claims to be the signer's, in a handshake of which it has the root."""
        keys, transcript = self.roots[start], schedule.device_transcript(hello, start)
        plain = signature + schedule.mac(keys.mac_of(DEVICE), signer + transcript)
        return start + ChaCha20Poly1305(keys.seal_of(DEVICE)).encrypt(NONCE, plain, None)

    def proves(self, transcript: bytes, start: bytes, signer: bytes, signature: bytes) -> bytes:
        """A proof that claims to be the signer's."""
        keys = self.roots[start]
        plain = signer + signature + schedule.mac(keys.mac_of(CLIENT), signer + transcript)
        return b"\3" + ChaCha20Poly1305(keys.seal_of(CLIENT)).encrypt(NONCE, plain, None)


def signed_by(key: Ed25519PrivateKey, who: bytes, transcript: bytes) -> tuple[bytes, bytes]:
    return public_key_of(key).raw, key.sign(pae(handshake._SIGNED_BY[who], transcript))


def handshakes() -> set[str]:
    """The owner begins two sessions with the doorbell and one with the attacker's own; the attacker begins one."""
    attacker = Attacker()
    doorbell, other = public_key_of(DOORBELL), public_key_of(OTHER)
    ours = {name: client(name, doorbell, OWNER) for name in ("first", "second")}
    to_other = client("third", other, OWNER)
    theirs = client("attacker", doorbell, BROWSER)
    hellos = [*(each.hello for each in ours.values()), to_other.hello, theirs.hello]
    hellos += list(mixed(hellos))
    broken = set(strangers())
    responders = [answered(hello, number) for number, hello in enumerate(hellos)]
    for hello, responder in zip(hellos, responders, strict=True):
        if hello[2:1218] == theirs.hello[2:1218]:
            attacker.opens("attacker", hello, responder.answer)
    signatures_of_owner(attacker, to_other)
    answers = list(every_answer(attacker, hellos, responders))
    proofs: list[bytes] = []
    agreed: dict[bytes, str] = {}
    for name, each in ours.items():
        for answer in answers:
            with suppress(DoorwardError):
                proof, session = each.finish(answer)
                proofs.append(proof)
                agreed[proof] = name
                if not any(
                    each.hello == hello and answer == by.answer for hello, by in zip(hellos, responders, strict=True)
                ):
                    broken.add("the owner is in a session that the doorbell is not in")
                if answer[:START] in attacker.roots:
                    broken.add("the attacker has the keys of the owner's session")
                assert isinstance(session, LinkSession)
    for hello, responder in zip(hellos, responders, strict=True):
        for proof in [*proofs, *every_proof(attacker, responder)]:
            with suppress(DoorwardError):
                key, _session = responder.finish(proof)
                if key == public_key_of(OWNER):
                    name = agreed.get(proof)
                    if name is None or ours[name].hello != hello:
                        broken.add("the doorbell takes the attacker for the owner")
    return broken


def answered(hello: bytes, number: int) -> DeviceHandshake:
    return DeviceHandshake(hello, public_key_of(DOORBELL), DOORBELL.sign, x25519=fixed(f"answer {number}"))


def strangers() -> Iterator[str]:
    """Messages of those who do not know the secret."""
    hello = client("stranger", public_key_of(DOORBELL), BROWSER).hello
    for other in (hello[:-32] + bytes(32), hello[:-32] + schedule.knock_of(b"\2" * 32, hello[:-32])):
        if handshake.has_knock(other, SECRET):
            yield "a stranger gets an answer"


def mixed(hellos: list[bytes]) -> Iterator[bytes]:
    """The key shares of one hello beside those of another, with a MAC of the attacker's."""
    for one, other in itertools.permutations(hellos[:2] + hellos[3:4], 2):
        start = one[:34] + other[34:1218]
        yield start + schedule.knock_of(SECRET, start)


def signatures_of_owner(attacker: Attacker, to_other: ClientHandshake) -> None:
    """The owner finishes a session with the attacker's own doorbell, which learns the owner's signature there."""
    start = attacker.joins(to_other.hello, "other doorbell")
    transcript = schedule.device_transcript(to_other.hello, start)
    answer = attacker.answers(to_other.hello, start, *signed_by(OTHER, DEVICE, transcript))
    proof, _session = to_other.finish(answer)
    plain = ChaCha20Poly1305(attacker.roots[start].seal_of(CLIENT)).decrypt(NONCE, proof[1:], None)
    attacker.signatures.add((plain[:32], plain[32:96]))


def every_answer(attacker: Attacker, hellos: list[bytes], responders: list[DeviceHandshake]) -> Iterator[bytes]:
    """The doorbell's answers, their parts in each combination, and those that the attacker can make itself."""
    answers = [each.answer for each in responders]
    yield from answers
    for one, other in itertools.permutations(answers[:4], 2):
        yield one[:START] + other[START:]
        yield one[:X25519_END] + other[X25519_END:]
        yield one[:1] + other[1:X25519_END] + one[X25519_END:]
    for hello in hellos[:2]:
        start = attacker.joins(hello, "in the middle")
        transcript = schedule.device_transcript(hello, start)
        made = {signed_by(key, DEVICE, transcript)[1] for key in (BROWSER, OTHER)}
        for signature in {each for _key, each in attacker.signatures} | made:
            yield attacker.answers(hello, start, public_key_of(DOORBELL).raw, signature)


def every_proof(attacker: Attacker, responder: DeviceHandshake) -> Iterator[bytes]:
    """Proofs that the attacker makes in a handshake of which it has the root."""
    start = responder.answer[:START]
    if start in attacker.roots:
        made = {signed_by(key, CLIENT, responder._transcript)[1] for key in (BROWSER, OTHER)}
        for signature in {each for _key, each in attacker.signatures} | made:
            yield attacker.proves(responder._transcript, start, public_key_of(OWNER).raw, signature)


# Records


class Agreement:
    """A handshake between the owner and the doorbell, from which each end can be made again."""

    def __init__(self, name: str) -> None:
        one = client(name, public_key_of(DOORBELL), OWNER)
        device = answered(one.hello, 99)
        proof, _session = one.finish(device.answer)
        device.finish(proof)
        self._keys = device._keys
        self._transcript = schedule.client_transcript(device._transcript, proof[1:])

    def end(self, who: bytes, counter: int) -> LinkSession:
        """An end that has come to this counter."""
        found = LinkSession.of(who, self._keys, self._transcript)
        for direction in (found._outgoing, found._incoming):
            while direction.counter < counter:
                direction._renew()
                direction.counter += 1
        return found


def sent(sender: LinkSession, words: list[bytes]) -> list[bytes]:
    for word in words:
        sender.send(1, word)
    return list(iter(sender.next_frame, None))


WORDS = [b"one", b"two", b"three", b"four"]


def records(start: int = 0, deep: int = 6) -> set[str]:
    """All ways to deliver four records, those of the other direction and of another session, cut and repeated.

    `start`: the counter of the first record. States that have had the same effects are explored once.
    """
    this, another = Agreement("records"), Agreement("records of another session")
    good, back = (sent(this.end(who, start), WORDS) for who in (CLIENT, DEVICE))
    foreign = sent(another.end(CLIENT, start), WORDS)
    frames = [*good, *back, *foreign, good[0][:-1], good[1][:9] + good[2][9:], good[0][:1] + good[1][1:9] + good[0][9:]]
    broken: set[str] = set()
    seen: set[tuple[object, ...]] = set()
    paths: list[tuple[int, ...]] = [()]
    while paths:
        path = paths.pop()
        reader = this.end(DEVICE, start)
        heard = [reader.receive(frames[number]) for number in path]
        words = [each.data for each in heard if isinstance(each, StreamData)]
        if words != WORDS[: len(words)]:
            broken.add("what was heard is not the beginning of what was said")
        if reader.ended is None and later_than([number for number in path if number < len(WORDS)], len(words)):
            broken.add("a missing record went unnoticed")
        state = (reader.received, reader.ended, tuple(words))
        if state not in seen and len(path) < deep:
            seen.add(state)
            paths += [(*path, number) for number in range(len(frames))]
    return broken


def later_than(delivered: list[int], heard: int) -> bool:
    """True if a record after the next one was delivered, when it was not yet its turn."""
    turn = 0
    for number in delivered:
        if number > turn:
            return True
        turn += number == turn
    return turn != heard

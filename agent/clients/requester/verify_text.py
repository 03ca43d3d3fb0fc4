"""VERIFY.txt of an evidence folder: how a stranger checks it with `openssl`, `age` and other programs.

A line that begins with four spaces is a command for a POSIX shell, to run in the folder of the text. Each command says
"same", "OK" or "Successfully" if its check holds, and ends with status 0. A command consists of fixed words, numbers,
names that this program gave, ids of parts, and names of time-stampers. The doorbell chose the last two, and their
patterns (26 of a-z and 2-7; a-z, 0-9 and "-") admit nothing that a shell reads in another way. So a text of an owner, a
doorbell or a requester cannot be a command.

docs/evidence.md explains each check to people who do not read commands.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.clients.requester.by_hand import BY_HAND, ByHand, SignedFile, Succession
from agent.clients.requester.checks import Verification, VerifiedItem
from agent.clients.requester.time_files import AFTER, OpenedBeat, TimeFolder
from agent.wire.disclosures import PartKind
from agent.wire.identities import KEY_ID_DIGITS

__all__ = ["SUMS", "VERIFY_FILE", "EvidenceFiles", "verify_text"]

VERIFY_FILE: Final = "VERIFY.txt"
SUMS: Final = "SHA256SUMS"
_WIDTH: Final = 118
_INDENT: Final = "    "
_SAME: Final = " && echo same"
_SHA256: Final = "openssl dgst -sha256 -binary"
_NAME_LENGTH: Final = len("doorward/") + KEY_ID_DIGITS
_VALID: Final = '^  "validation_state": "Valid"'
"""C2PA's word for a manifest with signatures and hashes that fit. Its signer may stand on no trust list. The two spaces
are those of the report itself: a stranger's copy can hold the same words deeper, in an assertion."""
_BOX_HEAD_BYTES: Final = 24
"""Size, kind and type of the box with the context, in front of its JSON."""
_LIST: Final = 's/.*"redactions":\\(\\[.*\\]\\),"segment":.*/\\1/'
"""Takes the owner's list out of a context, from its name to the next name: so a part of it is not the list."""


@dataclass(frozen=True, slots=True)
class EvidenceFiles:
    """Content of the folder beside the statements.

    `headers`: for each part, the bytes of its header. `films`: the path of each part's opened film, sound or still from
    the folder; absent for a part that fails to open.
    """

    by_hand: ByHand
    headers: dict[int, int]
    films: dict[int, str]
    redactions: tuple[int, ...]
    """Parts that have their list of redactions in redactions-NNN.json."""
    lines_told: dict[str, int]
    """For each record of a clip that the owner named, its line in records.jsonl."""
    beside: bool
    """Whether FILES.sha256 lists files beside the folder."""
    capture: bool = False
    """Whether a film has capture signatures."""
    cameras: Mapping[str, str] = field(default_factory=dict)
    """For cameras that signed their streams: each file of certificates, and the SHA-256 of the first one in hex."""
    times: tuple[TimeFolder, ...] = ()
    credentials: tuple[str, ...] = ()
    """The paths of the copies with Content Credentials, from the folder."""
    signed: bool = True
    """Whether the requester's key signed the list of hashes."""


@dataclass(frozen=True, slots=True)
class _Check:
    title: str
    shows: str
    shows_not: str
    commands: Sequence[str]


def verify_text(verification: Verification, evidence: EvidenceFiles) -> str:
    """Returns the text. `verification` has a `disclosed`."""
    lines = [_HEAD.format(disclosure=verification.disclosure)]
    checks = (check for check in _checks(verification, evidence) if check.commands)
    for number, check in enumerate(checks, start=1):
        lines += [f"{number}. {check.title}", "", *_wrapped("Shows", check.shows)]
        lines += [*_wrapped("Does not show", check.shows_not), ""]
        lines += [f"{_INDENT}{each}" for each in check.commands]
        lines.append("")
    lines.append(_FOOT)
    return "\n".join(lines)


def _wrapped(word: str, sentence: str) -> list[str]:
    return textwrap.wrap(f"{word}: {sentence}", _WIDTH, break_on_hyphens=False)


_HEAD: Final = """\
HOW TO CHECK THIS EVIDENCE WITHOUT THE PROGRAM THAT WROTE IT

Answer {disclosure}

You need a shell (Linux, macOS, or WSL on Windows), OpenSSL 3.0 or newer and, for the films, age 1.3 or newer. Nothing
here needs a network or Doorward. Copy the whole answer to a place of your own: the folder "bundle", in which this text
is, and the films and the report beside it. Open a shell in the copy of "bundle", and type the lines that begin with
four spaces, one at a time. A check that holds says "same", "OK" or "Successfully". A check that says nothing has
failed.

The statements are readable text: by-hand/*.signed. Read them. The first word is DSSEv1 (dsse, version 1), then come the
length and the name of the kind of statement, the length of the statement, and the statement as JSON.

Compare the public keys with ones that you know from elsewhere: by-hand/requester.pem with the organisation that asked,
by-hand/device.pem and by-hand/device-mldsa.pem with other answers of this doorbell. The checks show that a key signed.
They do not show its holder.
This text came with the evidence. docs/evidence.md of Doorward's source lists the same checks.
"""

_FOOT: Final = """\
FILES THAT ARE THE WORD OF THE PROGRAM ALONE

bundle.json, report.html, certificate.html and clip-*-tree.json repeat the statements in other words. Only the sums of
check 1 cover them. If one of them contradicts a statement, the statement counts.
"""


def _checks(verification: Verification, evidence: EvidenceFiles) -> Iterator[_Check]:
    yield from _of_people(evidence)
    yield from _of_the_doorbell(verification, evidence)
    yield from _of_the_films(verification, evidence)


def _of_people(evidence: EvidenceFiles) -> Iterator[_Check]:
    """Yields the checks of what the one who asked and the owners signed."""
    hand = evidence.by_hand
    statements = hand.statements
    yield _Check(
        "The copy is whole",
        "that the files are as the one who asked wrote them."
        + (
            " Their key signed the list of hashes."
            if evidence.signed
            else " Their key was locked, so the list is unsigned."
        ),
        "that the content is true. The one who holds the requester's key can write other files and other sums.",
        [
            "sha256sum --check --strict --quiet SHA256SUMS" + _SAME,
            *(["sha256sum --check --strict --quiet FILES.sha256" + _SAME] if evidence.beside else []),
            *([_pkeyutl(f"{BY_HAND}/requester.pem", SUMS, f"{SUMS}.signature")] if evidence.signed else []),
        ],
    )
    if "request" in statements:
        yield _Check(
            "The request",
            "what was asked, by which organisation, for which place and time, and with which promises.",
            "that the organisation was entitled to ask. See the trust root named in the request.",
            [_signature(statements["request"]), *_in_envelope(statements["request"], "request.dsse")],
        )
    yield _Check(
        "The doorbell's list of owners",
        "who may approve for this doorbell, from its first list on: an owner of each list signed the next one.",
        "who these people are. The first list is vouched for by the doorbell's key only.",
        [*_enrolments(hand)],
    )
    approval = statements["approval"]
    yield _Check(
        "The owner's yes",
        "that an owner's key signed a yes to exactly this request, for this doorbell.",
        "which person used the key, and that the clock of the owner's device was right.",
        [
            _signature(approval),
            *([_names(statements["request"], "request", "approval")] if "request" in statements else []),
            _key_in("device", "device", "approval"),
            _key_in("owner", "key", hand.enrolments[-1].name),
            *_in_envelope(approval, "approval.dsse"),
            *_co_approval(hand),
        ],
    )
    yield _Check(
        "The owners' second keys",
        "the same of the lists of owners and of the yes by ML-DSA-44, a signature that is made to withstand quantum "
        "computers. Each list names both keys of an owner. You need OpenSSL 3.5 or newer.",
        "who these people are, as above.",
        [*_second_keys_of_owners(hand)],
    )


def _of_the_doorbell(verification: Verification, evidence: EvidenceFiles) -> Iterator[_Check]:
    """Yields the checks of what the doorbell signed, and of the sealed files."""
    hand = evidence.by_hand
    statements = hand.statements
    manifest = statements["manifest"]
    yield _Check(
        "The doorbell's answer",
        "that the doorbell's key signed this list of files together with the request, the yes and the owners' lists.",
        "that the doorbell was unaltered.",
        [
            _signature(manifest),
            _key_in("device", "device", "manifest"),
            *([_names(statements["request"], "request", "manifest")] if "request" in statements else []),
            *(_held(each, "manifest") for each in (statements["approval"], *hand.enrolments, *hand.records)),
            *_in_envelope(manifest, "manifest.dsse"),
        ],
    )
    yield _Check(
        "The doorbell's answer, by its second key",
        "the same by ML-DSA-44, a signature that is made to withstand quantum computers. Each list of owners names the "
        "hash of this key. So the answer stays proven if Ed25519 can be forged one day. At its end, "
        '"second_signatures" says for each of "records" if such signatures of the doorbell\'s list cover it, which '
        "the doorbell checked when it answered. You need OpenSSL 3.5 or newer.",
        'that a record with the word "none" was not forged before the answer, by one who could write to the '
        "doorbell's disk. A record that is taken out of the answer has an Ed25519 signature only.",
        [*_second_key(hand)],
    )
    yield _Check(
        "The ledger",
        "that the yes was in the doorbell's append-only ledger when it answered: the entry leads to the head. Both "
        "keys of the doorbell signed the head. For the second signature you need OpenSSL 3.5 or newer.",
        "that the owner has the same ledger. To find out, compare by-hand/checkpoint.signed with theirs.",
        [*_ledger(hand)],
    )
    yield _Check(
        "The records made at capture",
        "that the doorbell's key signed each record: the time by the doorbell's clock and the hash of the sealed film. "
        'A command with "prev_in_clip" shows that it signed a record as the next one of its clip behind another, with '
        "one file left-out for each record between the two.",
        'that the scene was real, and that the clock was right (see "quality" in the record). Where a record has no '
        'command with "prev_in_clip", films of its clip may be left out in front of it.',
        [
            *(command for each in hand.records for command in _record(each, evidence)),
            *(_follows(each) for each in hand.successions),
        ],
    )
    yield _Check(
        "The sealed files",
        "that each file is bit for bit the one that the doorbell listed and the owner released. A file that is not "
        "covered is also the one that the doorbell recorded.",
        "what is inside, because they are encrypted, and that a covered film or sound is the recorded one: the owner "
        "made it, and the record is of the original.",
        [command for item in verification.items for command in _part(item, evidence)],
    )
    yield _Check(
        "The receipt",
        "that the one who asked signed that this answer arrived, and for how many days it will be kept.",
        "that it was kept no longer.",
        [*_receipt(hand)],
    )


def _of_the_films(verification: Verification, evidence: EvidenceFiles) -> Iterator[_Check]:
    """Yields the checks of opened films, and of what others confirmed."""
    yield _Check(
        "The films are the content of the sealed files",
        "that each film of segments/, each sound, and each shared still came out of its sealed file, unchanged. You "
        "need age 1.3 or newer, and the key of this request as KEY.identity in this folder, from the one who asked. "
        "Delete opened-* after it.",
        "that a covered place hides only what the owner's list says, and anything about joined films (clips/, all.mp4) "
        "or a film that a power failure cut off.",
        [
            f"age -d -i KEY.identity -o opened-000 parts/0.age{_SAME}",
            f"cmp opened-000 manifest.dsse{_SAME}",
            *(command for item in verification.items for command in _opened(item, evidence)),
        ],
    )
    yield _Check(
        "The signatures inside the films (ONVIF Media Signing)",
        "that the doorbell's key signed the pictures, in this order, also in a film that is handed on alone. "
        "ONVIF's validator (github.com/onvif/media-signing-framework) gives the verdict, after you build it: "
        "validator -c h264 -C capture-root.pem FILM.mp4. The commands below show that this is the doorbell's key.",
        "anything about sound, about what lies before and after, or about a covered film.",
        [*_films(evidence)],
    )
    yield _Check(
        "The signatures of the camera inside the films (ONVIF Media Signing)",
        "which certificates the camera sent in the films (camera-*.pem). Such a film holds no signature by the "
        "doorbell inside. The doorbell's signed record covers each byte of it. ONVIF's validator tells whether the "
        "camera signed the pictures: validator -c h264 -C ROOT.pem FILM.mp4, with the root certificate of the camera's "
        "maker as ROOT.pem. Take that from the maker. Give the validator a joined film: the signature of a film's last "
        "pictures begins the next film.",
        "that the certificates are the maker's. The commands compare them with their hash in the report.",
        [_fingerprint(name, sha256) for name, sha256 in evidence.cameras.items()],
    )
    yield _Check(
        "Content Credentials (C2PA)",
        "that no copy in c2pa/ has changed since it was signed, to any C2PA reader. The commands need c2patool 0.16 or "
        "newer (github.com/contentauth/c2pa-rs), with no network. It also prints what was done to the film, and by "
        "which key. Films in segments/ need none of this.",
        "who has that key: no trust list names it, and any person can give a film valid credentials that name the "
        "requester. Check 1 ties the copies to the requester's key. It adds no proof to the checks above.",
        [f"c2patool {each} | grep '{_VALID}'{_SAME}" for each in evidence.credentials],
    )
    yield _Check(
        "The time, by others",
        "when a time-stamper saw the doorbell's log. Take the certificate of its authority from the authority, as "
        "AUTHORITY.pem. The answer holds the stamps of time/after/, so it is younger than they are. The log's head in "
        "time/before/ holds the ledger with the yes, so the yes is older than its stamps.",
        "that the pictures were taken then.",
        [*_times(evidence)],
    )


def _fingerprint(certificate: str, sha256: str) -> str:
    """Compares the first certificate of a file with its hash in hex."""
    shown = ":".join(sha256[at : at + 2] for at in range(0, len(sha256), 2)).upper()
    return f"openssl x509 -in {certificate} -noout -fingerprint -sha256 | grep -q '={shown}$'{_SAME}"


def _pkeyutl(key: str, signed: str, signature: str) -> str:
    return f"openssl pkeyutl -verify -pubin -inkey {key} -rawin -in {signed} -sigfile {signature}"


def _signature(each: SignedFile) -> str:
    place = f"{BY_HAND}/{each.name}"
    return _pkeyutl(f"{BY_HAND}/{each.key}.pem", f"{place}.signed", f"{place}.signature")


def _payload(each: SignedFile) -> str:
    return f"tail -c +{each.skip + 1} {BY_HAND}/{each.name}.signed"


def _found(pattern: str, place: str) -> str:
    return f"{pattern} | grep -qFf - {place}{_SAME}"


def _hash_as(field: str) -> str:
    return _hash_in(f'"{field}":"&"')


def _hash_in(words: str) -> str:
    """Makes the hash of what comes, within these words in the place of "&"."""
    return f"openssl dgst -sha256 -r | cut -c1-64 | sed 's/.*/{words}/'"


def _names(each: SignedFile, field: str, other: str) -> str:
    """The statement `other` names the statement `each` by its hash."""
    return _found(f"{_payload(each)} | {_hash_as(field)}", f"{BY_HAND}/{other}.signed")


def _held(each: SignedFile, other: str) -> str:
    """The statement `other` holds the statement `each` word for word, in base64."""
    return _found(f"{_payload(each)} | openssl base64 -A", f"{BY_HAND}/{other}.signed")


def _in_envelope(each: SignedFile, file: str) -> Iterator[str]:
    """The file for programs holds the same statement and the same signature."""
    yield _found(f"{_payload(each)} | openssl base64 -A", file)
    yield _found(f"openssl base64 -A -in {BY_HAND}/{each.name}.signature", file)


def _key_in(key: str, field: str, statement: str) -> str:
    """The statement names the public key in `key`.pem."""
    der = f"openssl pkey -pubin -in {BY_HAND}/{key}.pem -outform DER | tail -c 32 | openssl base64 -A"
    text = f'tr +/ -_ | tr -d = | sed \'s/.*/"{field}":"ed25519:&"/\''
    return _found(f"{der} | {text}", f"{BY_HAND}/{statement}.signed")


def _enrolments(hand: ByHand) -> Iterator[str]:
    for number, (each, named_in) in enumerate(zip(hand.enrolments, hand.enrolment_signers, strict=True), start=1):
        yield _signature(each)
        yield _key_in(each.key, "key", f"enrolment-{named_in:03}")
        yield _key_in("device", "device", each.name)
        if number > 1:
            yield _names(hand.enrolments[number - 2], "previous", each.name)
        yield from _in_envelope(each, f"{each.name}.dsse")


def _second_key(hand: ByHand) -> Iterator[str]:
    key, signature = f"{BY_HAND}/device-mldsa.pem", f"{BY_HAND}/manifest.mldsa-signature"
    yield _pkeyutl(key, f"{BY_HAND}/manifest.signed", signature)
    raw, field = f"openssl pkey -pubin -in {key} -outform DER | tail -c 1312", 'sed \'s/.*/"device_mldsa":"&"/\''
    yield _found(f"{raw} | openssl base64 -A | {field}", f"{BY_HAND}/manifest.signed")
    for each in hand.enrolments:
        yield _found(f"{raw} | openssl dgst -sha256 -r | cut -c1-64 | {field}", f"{BY_HAND}/{each.name}.signed")
    yield _found(f"openssl base64 -A -in {signature}", "manifest.dsse")


def _second_keys_of_owners(hand: ByHand) -> Iterator[str]:
    newest = hand.enrolments[-1].name
    for each, named_in in zip(hand.enrolments, hand.enrolment_signers, strict=True):
        yield from _second_signature(each, f"enrolment-{named_in:03}", f"{each.name}.dsse")
    for name, file in (("approval", "approval.dsse"), ("co_approval", "co-approval.dsse")):
        if name in hand.statements:
            yield from _second_signature(hand.statements[name], newest, file)


def _second_signature(each: SignedFile, listed: str, file: str) -> Iterator[str]:
    """The ML-DSA-44 signature verifies, and the list `listed` names its key beside the signer's Ed25519 key."""
    key, signature = f"{BY_HAND}/{each.key}-mldsa.pem", f"{BY_HAND}/{each.name}.mldsa-signature"
    yield _pkeyutl(key, f"{BY_HAND}/{each.name}.signed", signature)
    first = f"openssl pkey -pubin -in {BY_HAND}/{each.key}.pem -outform DER | tail -c 32 | openssl base64 -A"
    second = f"openssl pkey -pubin -in {key} -outform DER | tail -c 1312 | openssl base64 -A"
    # The words around both keys are printed on their own: without a key, what is left of the entry is found nowhere.
    parts = ['printf \'"key":"ed25519:\'', f"{first} | tr +/ -_ | tr -d =", 'printf \'","mldsa":"\'', second]
    yield _found(f'({"; ".join(parts)}; printf \'","name":"\')', f"{BY_HAND}/{listed}.signed")
    yield _found(f"openssl base64 -A -in {signature}", file)


def _co_approval(hand: ByHand) -> Iterator[str]:
    each = hand.statements.get("co_approval")
    if each is None:
        return
    yield _signature(each)
    yield _names(hand.statements["approval"], "approval", "co_approval")
    yield _key_in("second-owner", "key", hand.enrolments[-1].name)
    yield _held(each, "manifest")
    yield from _in_envelope(each, "co-approval.dsse")


def _ledger(hand: ByHand) -> Iterator[str]:
    checkpoint = SignedFile("checkpoint", "device", 0)
    yield _signature(checkpoint)
    yield f"head -n 3 ledger-checkpoint.txt | cmp - {BY_HAND}/checkpoint.signed{_SAME}"
    yield _names(hand.statements["approval"], "subject", "ledger-entry").replace("ledger-entry.signed", "ledger-entry")
    nodes = [(f"{BY_HAND}/ledger-node-{number:02}", left) for number, left in enumerate(hand.sides, start=1)]
    yield from _second_signature_of_head()
    leaf = f"(printf '\\000'; cat {BY_HAND}/ledger-entry) | {_SHA256}"
    yield _found(_folded(leaf, nodes), f"{BY_HAND}/checkpoint.signed")


def _second_signature_of_head() -> Iterator[str]:
    """ML-DSA-44 signs a binary form of the head (c2sp.org/tlog-cosignature). The third command makes it of the text."""
    head, second = f"{BY_HAND}/checkpoint.signed", f"{BY_HAND}/checkpoint.mldsa"
    yield _pkeyutl(f"{BY_HAND}/device-mldsa.pem", f"{second}-signed", f"{second}-signature")
    yield _found(f"openssl base64 -A -in {second}-signature", "ledger-checkpoint.txt")
    name, zeros = f"printf '\\{_NAME_LENGTH:03o}'; head -n 1 {head} | tr -d '\\n'", "head -c 8 /dev/zero"
    digits = f"(printf '%016x' $(sed -n 2p {head}) | fold -w 2; echo)"
    size = f'{digits} | while read b; do printf "\\\\$(printf %03o 0x$b)"; done'
    root = f"sed -n 3p {head} | openssl base64 -d -A"
    parts = ["printf 'subtree/v1\\n\\000'", name, zeros, name, zeros, size, root]
    yield f"({'; '.join(parts)}) | cmp - {second}-signed{_SAME}"


def _record(each: SignedFile, evidence: EvidenceFiles) -> Iterator[str]:
    yield _signature(each)
    yield _found(f"{_payload(each)} | openssl base64 -A", "records.jsonl")
    line = evidence.lines_told.get(each.name)
    if line is not None:  # a record of a clip that the owner named: one of the hashes that the doorbell signed
        leaf = f"(printf '\\000'; sed -n {line}p records.jsonl | tr -d '\\n')"
        yield _found(f"{leaf} | openssl dgst -sha256 -r | cut -c1-64", f"{BY_HAND}/manifest.signed")


def _follows(each: Succession) -> str:
    """Follows the chain of a clip from one record to the next one that was sent."""
    start = f"(printf '\\000'; sed -n {each.line}p records.jsonl | tr -d '\\n') | {_SHA256}"
    left_out = [f"- {BY_HAND}/{each.name}.left-out-{number:02}" for number in range(1, each.left_out + 1)]
    *steps, last = [f"(printf '\\001'; cat {files})" for files in (f"{BY_HAND}/{each.name}.before -", *left_out)]
    hashed = [start, *(f"{step} | {_SHA256}" for step in steps), f"{last} | {_hash_as('prev_in_clip')}"]
    return _found(" | ".join(hashed), f"{BY_HAND}/{each.name}.signed")


def _receipt(hand: ByHand) -> Iterator[str]:
    if "receipt" not in hand.statements:
        return
    yield _signature(hand.statements["receipt"])
    yield _found(
        'openssl dgst -sha256 -r parts/0.age | cut -c1-64 | sed \'s/.*/"manifest":"&"/\'', f"{BY_HAND}/receipt.signed"
    )
    yield from _in_envelope(hand.statements["receipt"], "receipt.dsse")


def _part(item: VerifiedItem, evidence: EvidenceFiles) -> Iterator[str]:
    """The place of each hash counts: otherwise a film and its still, or two films, could be exchanged."""
    part, header = f"parts/{item.number}.age", evidence.headers[item.number]
    approval, kind = f"{BY_HAND}/approval.signed", item.item.part.kind.value
    its = f'"id":"{item.item.part.id}"'
    payload = f"tail -c +{header + 1} {part}"
    listed = _hash_in(f'{its},"kind":"{kind}","sha256":"&"')
    begins = _hash_in(f'"header_sha256":"&",{its}')
    released = _hash_in(f'{its},"payload_sha256":"&"')
    yield _found(f"cat {part} | {listed}", f"{BY_HAND}/manifest.signed")
    yield _found(f"head -c {header} {part} | {begins}", approval)
    if item.item.is_redacted:
        yield _found(f"{payload} | {_hash_as('payload_sha256')}", approval)
        return
    yield _found(f"{payload} | {released}", approval)
    record = evidence.by_hand.record_of[item.item.captured.line]
    yield _found(f"{payload} | {_hash_as('sha256_payload')}", f"{BY_HAND}/{record}.signed")


def _opened(item: VerifiedItem, evidence: EvidenceFiles) -> Iterator[str]:
    film = evidence.films.get(item.number)
    if film is None or item.context is None:
        return  # of no use to a player, or cut off by a power failure: stock age refuses it
    opened = f"opened-{item.number:03}"
    yield f"age -d -i KEY.identity -o {opened} parts/{item.number}.age{_SAME}"
    if item.item.part.kind is PartKind.POSTER:
        content = f"(head -c 2 {opened}; tail -c {item.opened_bytes - 2} {opened})"
    else:
        content = f"head -c {item.opened_bytes} {opened}"
    yield f"{content} | cmp - {film}{_SAME}"
    if item.number in evidence.redactions:
        # `cmp`, because a line of a file that `grep -f` reads could be empty, and an empty line is found in each film.
        own = f"tail -c +{item.opened_bytes + _BOX_HEAD_BYTES + 1} {opened} | sed '{_LIST}' | tr -d '\\n'"
        yield f"{own} | cmp - redactions-{item.number:03}.json{_SAME}"


def _times(evidence: EvidenceFiles) -> Iterator[str]:
    for each in evidence.times:
        if not each.stamps:
            continue  # witnesses alone: their notes need other programs
        head = f"{each.path}/checkpoint"
        yield _pkeyutl(f"{BY_HAND}/device.pem", f"{head}.signed", f"{head}.signature")
        yield f"head -n 3 {head}.txt | cmp - {head}.signed{_SAME}"
        for name in each.stamps:
            stamp = f"{each.path}/{name}.tsr"
            yield f"openssl ts -verify -data {head}.txt -in {stamp} -CAfile AUTHORITY.pem"
            if each.path == AFTER:
                # Otherwise a stamp on a later head could stand there, and the answer would seem younger than it is.
                words = 'sed \'s/.*/"response":"&"/\''
                yield _found(f"openssl base64 -A -in {stamp} | {words}", f"{BY_HAND}/manifest.signed")
        if each.opened is not None:
            yield from _opened_beat(each.path, each.opened)


def _opened_beat(folder: str, opened: OpenedBeat) -> Iterator[str]:
    """The ledger at the beat continues the one with the yes, and the head of the log of beats holds it."""
    theirs, ours = f"{folder}/ledger", f"{BY_HAND}/checkpoint.signed"
    if opened.grown is None:
        yield f"cmp {ours} {theirs}{_SAME}"
    else:
        names = [f"{folder}/ledger-node-{number:02}" for number in range(1, len(opened.grown) + 2)]
        root = f"sed -n 3p {ours} | openssl base64 -d -A"
        start = root if opened.begins_whole else f"cat {names.pop(0)}"
        steps = [*zip(names, opened.grown, strict=False)]
        if not opened.begins_whole:
            yield _found(_folded(start, [each for each in steps if each[1]]), ours)
        yield _found(_folded(start, steps), theirs)
    leaf = f"(printf '\\000doorward-time/1\\n'; cat {folder}/blind {theirs}) | {_SHA256}"
    nodes = [(f"{folder}/beat-node-{number:02}", left) for number, left in enumerate(opened.sides, start=1)]
    yield _found(_folded(leaf, nodes), f"{folder}/checkpoint.signed")


def _folded(start: str, nodes: Sequence[tuple[str, bool]]) -> str:
    """The root over the hash that `start` prints and these files, each on the left or the right, in base64."""
    steps = [f"(printf '\\001'; cat {f'{node} -' if left else f'- {node}'}) | {_SHA256}" for node, left in nodes]
    return " | ".join([start, *steps, "openssl base64 -A"])


def _films(evidence: EvidenceFiles) -> Iterator[str]:
    if not evidence.capture:
        return
    # Each file has one certificate: `verify` would trust a second one, which the next command does not show.
    for each in ("capture-root.pem", "capture-key.pem"):
        yield f"openssl x509 -in {each} | cmp - {each} && grep -q BEGIN {each}{_SAME}"
    yield "openssl verify -check_ss_sig -CAfile capture-root.pem capture-key.pem"
    yield f"openssl x509 -in capture-root.pem -noout -pubkey | cmp - {BY_HAND}/device.pem{_SAME}"

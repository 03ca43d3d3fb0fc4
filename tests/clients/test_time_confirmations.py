"""A time that others confirmed: the words of a report, and everything that must not count."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.clients.requester.notes import FolderNotes
from agent.clients.requester.time_files import growth_steps, write_time
from agent.clients.requester.time_trust import read_time_trust
from agent.clients.time_confirmations import TimeFindings, TimeTrust, find_time
from agent.core.ledger.checkpoint import Checkpoint, origin_of
from agent.core.ledger.merkle import consistency_proof, leaf_hash, node_hash, root_of
from agent.errors import ConfigurationError, OpenError
from agent.wire import strictjson
from agent.wire.envelope import HybridKey
from agent.wire.identities import mldsa_key_from_seed, private_key_from_seed, public_key_of
from agent.wire.time_proofs import TimeOpening, TimeProof, TimeStamp
from tests.time_services import Beats, LocalWitness, TimeStamper
from tests.wire import samples

DEVICE = samples.DEVICE_KEY
ENTRIES = [leaf_hash(bytes([n])) for n in range(9)]
EARLY, LATE = LocalWitness(time_s=1_800_000_000), LocalWitness(time_s=1_800_021_600)
OTHER = LocalWitness(name="witness.test/w2", seed=b"\x08" * 32, time_s=1_800_000_300)
OWNER_MS = 1_800_010_000_000
TRUST = TimeTrust.of(f"{EARLY.verifier_key}\n{OTHER.verifier_key}\n", [])
NO_WITNESS = "No witness: the dates are those of the device and its owners."


def ledger(size: int) -> Checkpoint:
    return Checkpoint(origin_of(DEVICE), size, root_of(ENTRIES[:size]))


APPROVED = ledger(4)


@pytest.fixture
def beats() -> Beats:
    made = Beats(samples.DEVICE, samples.MLDSA)
    made.add(ledger(3))
    made.add(ledger(6))
    return made


@pytest.fixture(scope="module")
def stamper() -> Iterator[TimeStamper]:
    made = TimeStamper()
    yield made
    made.close()


def opened(beats: Beats, proof: TimeProof) -> TimeOpening:
    return beats.opening(1, 4, proof, consistency_proof(ENTRIES[:6], 4))


def found(proof: TimeProof | None, *openings: TimeOpening, trust: TimeTrust = TRUST) -> TimeFindings:
    return find_time(samples.DEVICE_KEYS, APPROVED, OWNER_MS, trust, proof, openings)


def test_the_time_is_confirmed_between_two_beats(beats: Beats) -> None:
    after, before = beats.proof(0, [EARLY, OTHER]), beats.proof(1, [LATE])
    findings = found(after, opened(beats, before))
    assert findings.said == (
        "The time was confirmed by witness.test/w1 and witness.test/w2 between 2027-01-15 08:05:00 UTC and "
        "2027-01-15 14:00:00 UTC."
    )
    assert (findings.from_s, findings.until_s) == (OTHER.time_s, LATE.time_s)


def test_one_side_alone_says_so(beats: Beats) -> None:
    assert found(beats.proof(0, [EARLY])).said == (
        "The answer was made after 2027-01-15 08:00:00 UTC, confirmed by witness.test/w1. No one confirmed an end."
    )
    assert found(None, opened(beats, beats.proof(1, [LATE]))).said == (
        "The approval existed before 2027-01-15 14:00:00 UTC, confirmed by witness.test/w1."
    )
    assert found(None).said == NO_WITNESS


def test_a_witness_that_is_not_trusted_counts_for_nothing(beats: Beats) -> None:
    findings = found(beats.proof(0, [EARLY]), trust=TimeTrust())
    assert findings.said == "No one whom you trust confirmed the time."
    assert found(beats.proof(0, [LocalWitness(seed=b"\x0a" * 32)])).from_s is None


def test_a_forged_cosignature_is_told_and_spoils_no_other(beats: Beats) -> None:
    honest, elsewhere = beats.proof(0, [OTHER]), beats.proof(1, [EARLY])
    findings = found(replace(honest, cosignatures=elsewhere.cosignatures + honest.cosignatures))
    assert (findings.from_s, len(findings.doubts)) == (OTHER.time_s, 1)
    assert "in the name of witness.test/w1 is not by that witness, or not of this ledger" in findings.said


def test_a_confirmation_of_another_doorbell_is_told(beats: Beats) -> None:
    theirs = Beats(samples.OWNER, samples.MLDSA)
    theirs.add(ledger(3))
    findings = found(theirs.proof(0, [EARLY]))
    assert findings.said == (
        "No one whom you trust confirmed the time. The confirmation of time in this answer is not of this doorbell."
    )


def test_a_head_of_beats_by_a_forger_of_ed25519_confirms_nothing(beats: Beats) -> None:
    """The cosignatures are genuine: a forger can have a head confirmed later."""
    proof = beats.proof(0, [EARLY])
    bare = replace(proof, checkpoint="".join(proof.checkpoint.splitlines(keepends=True)[:5]))
    forger = Beats(samples.DEVICE, mldsa_key_from_seed(b"s" * 32))
    forger.add(ledger(3))
    for wrong in (bare, forger.proof(0, [EARLY])):
        findings = found(wrong)
        assert (findings.from_s, findings.doubts) == (
            None,
            ("The confirmation of time in this answer is not of this doorbell.",),
        )


def test_an_opening_of_another_ledger_is_told(beats: Beats) -> None:
    proof = beats.proof(1, [LATE])
    for wrong in (
        beats.opening(1, 5, proof, consistency_proof(ENTRIES[:6], 5)),
        replace(opened(beats, proof), blind="00" * 32),
        replace(opened(beats, proof), consistency=()),
        replace(opened(beats, proof), proof=beats.proof(0, [LATE])),
    ):
        findings = found(None, wrong)
        assert findings.until_s is None
        assert findings.doubts == ("The confirmation of time from the owner is not of this ledger.",)


def test_a_beat_that_holds_another_ledger_of_the_same_size_is_a_split_view(beats: Beats) -> None:
    beats.add(Checkpoint(origin_of(DEVICE), 4, root_of(ENTRIES[4:8])))
    opening = beats.opening(2, 4, beats.proof(2, [LATE]))
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        found(None, opening)


def test_two_logs_of_beats_of_one_size_are_a_split_view(beats: Beats) -> None:
    other = Beats(samples.DEVICE, samples.MLDSA)
    other.add(ledger(2))
    other.add(ledger(6))
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        found(beats.proof(1, [EARLY]), opened(other, other.proof(1, [LATE])))


def test_several_files_of_an_owner_are_all_judged_and_the_earliest_time_counts(beats: Beats) -> None:
    stranger = LocalWitness(name="witness.test/w3", seed=b"\x0a" * 32, time_s=LATE.time_s - 7200)
    early = opened(beats, beats.proof(1, [stranger]))
    late = opened(beats, beats.proof(1, [LATE]))
    wrong = replace(late, blind="00" * 32)
    findings = found(None, early, late, late, wrong)
    assert [each.by for each in findings.statements if each.counts] == ["witness.test/w1"], "each is listed once"
    assert (findings.until_s, len(findings.statements), len(findings.doubts)) == (LATE.time_s, 3, 1)
    wider = TimeTrust.of(f"{EARLY.verifier_key}\n{stranger.verifier_key}\n", [])
    assert found(None, early, late, trust=wider).until_s == stranger.time_s
    other = Beats(samples.DEVICE, samples.MLDSA)
    other.add(ledger(2))
    other.add(ledger(6))
    with pytest.raises(OpenError, match="different people were shown different ledgers"):
        found(None, late, opened(other, other.proof(1, [LATE])))


def test_times_that_contradict_each_other_or_the_owner_are_told(beats: Beats) -> None:
    swapped = found(beats.proof(0, [LATE]), opened(beats, beats.proof(1, [EARLY])))
    assert "The two contradict each other." in swapped.doubts
    late = found(None, opened(beats, beats.proof(1, [EARLY])))
    assert late.doubts == ("The owner's own clock said 2027-01-15 10:46:40 UTC.",)


@pytest.mark.parametrize(
    ("after_day", "before_day", "late", "doubts"),
    [
        (48, 52, [True, True], 0),
        (50, 50, [False, False], 0),
        (100, 102, [False, True], 1),  # the owner's clock is behind
        (10, 20, [True, False], 1),  # the owner's clock is ahead
        (100, 20, [False, False], 2),
    ],
)
def test_a_confirmation_is_late_on_its_own_side_only_and_a_clock_on_the_wrong_side_is_told(
    beats: Beats, after_day: int, before_day: int, late: list[bool], doubts: int
) -> None:
    """The owner's clock says day 50."""
    days = (after_day, before_day)
    first, second = (LocalWitness(time_s=OWNER_MS // 1000 + (day - 50) * 86_400) for day in days)
    findings = found(beats.proof(0, [first]), opened(beats, beats.proof(1, [second])))
    assert [each.is_late for each in findings.statements] == late
    clock, contradiction = "The owner's own clock said 2027-01-15 10:46:40 UTC.", "The two contradict each other."
    assert findings.doubts == {0: (), 1: (clock,), 2: (contradiction, clock)}[doubts]


def test_a_time_stamp_counts_if_its_authority_is_trusted(beats: Beats, stamper: TimeStamper, tmp_path: Path) -> None:
    began_s = int(datetime.now(UTC).timestamp())
    proof = beats.proof(0, [], {"tsa": stamper})
    trust = TimeTrust.of("", [stamper.authority.read_bytes()])
    findings = found(proof, trust=trust)
    assert [each.by for each in findings.after] == ["tsa"]
    assert began_s <= (findings.from_s or 0) <= began_s + 600
    assert found(proof, trust=TimeTrust()).doubts == (
        "The stamp “tsa” was not checked: you trust no authority of time-stampers.",
    )
    stranger = TimeStamper("Another")
    try:
        other = TimeTrust.of("", [stranger.authority.read_bytes()])
    finally:
        stranger.close()
    assert found(proof, trust=other).doubts == ("The stamp “tsa” is not by a time-stamper that you trust.",)
    # A stamp on another beat, replayed: it is genuine, and not of this ledger.
    replayed = replace(beats.proof(1, [], {"tsa": stamper}), checkpoint=proof.checkpoint)
    assert found(replayed, trust=trust).doubts == ("The stamp “tsa” is not of this ledger.",)
    # Every third byte, changed: either it does not count, or nothing that counts was changed.
    der = proof.stamps[0].der
    for at in range(0, len(der), 3):
        data = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
        changed = replace(proof, stamps=(TimeStamp(name="tsa", response=strictjson.encode_base64(data)),))
        after = found(changed, trust=trust)
        assert after.from_s in (None, findings.from_s), at
        assert bool(after.doubts) == (after.from_s is None)
    for junk in (b"0", b"\x30\x80", der[:-1], der + b"\0", bytes(16_000)):
        changed = replace(proof, stamps=(TimeStamp(name="tsa", response=strictjson.encode_base64(junk)),))
        assert found(changed, trust=trust).from_s is None


def test_the_evidence_folder_is_checked_with_openssl_as_it_says(
    beats: Beats, stamper: TimeStamper, tmp_path: Path
) -> None:
    import subprocess

    write_time(
        tmp_path,
        beats.keys,
        APPROVED,
        beats.proof(0, [EARLY], {"tsa": stamper}),
        [opened(beats, beats.proof(1, [each])) for each in (LATE, OTHER)],
    )
    files = sorted(str(path.relative_to(tmp_path / "time")) for path in (tmp_path / "time").rglob("*.*"))
    assert files == [
        "TIME.txt", "after/checkpoint.signature", "after/checkpoint.signed", "after/checkpoint.txt",
        "after/cosigned.txt", "after/tsa.tsr", "before-2/checkpoint.signature", "before-2/checkpoint.signed",
        "before-2/checkpoint.txt", "before-2/cosigned.txt", "before-2/opening.json", "before/checkpoint.signature",
        "before/checkpoint.signed", "before/checkpoint.txt", "before/cosigned.txt", "before/opening.json",
    ]  # fmt: skip
    commands = [line.strip() for line in (tmp_path / "time/TIME.txt").read_text().splitlines() if "openssl" in line]
    assert len(commands) == 2
    shown = [
        subprocess.run(
            command.replace("NAME", "tsa").replace("AUTHORITY.pem", str(stamper.authority)).split(),
            cwd=tmp_path / "time", capture_output=True, text=True, check=True,
        ).stdout
        for command in commands
    ]  # fmt: skip
    assert "Verification: OK" in shown[0]
    assert "Time stamp:" in shown[1]
    (tmp_path / "time/after/checkpoint.txt").write_bytes(b"another")
    failed = subprocess.run(
        commands[0].replace("NAME", "tsa").replace("AUTHORITY.pem", str(stamper.authority)).split(),
        cwd=tmp_path / "time", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert failed.returncode != 0


def test_what_is_of_another_doorbell_or_ledger_has_no_commands(
    beats: Beats, stamper: TimeStamper, tmp_path: Path
) -> None:
    other = HybridKey(public_key_of(private_key_from_seed(b"o" * 32)), beats.keys.mldsa)
    after, before = beats.proof(0, [], {"tsa": stamper}), opened(beats, beats.proof(1, [LATE]))
    assert write_time(tmp_path / "theirs", other, APPROVED, after, [before]) == ()
    assert {path.name for path in (tmp_path / "theirs/time/after").iterdir()} == {"checkpoint.txt", "tsa.tsr"}
    found = write_time(tmp_path / "another", beats.keys, ledger(5), after, [before])
    assert [each.path for each in found] == ["time/after"]
    assert {path.name for path in (tmp_path / "another/time/before").iterdir()} == {
        "checkpoint.signature", "checkpoint.signed", "checkpoint.txt", "cosigned.txt", "opening.json",
    }  # fmt: skip


def test_the_steps_of_a_growing_ledger_lead_to_both_of_its_heads() -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(20)]
    for new in range(2, 20):
        for old in range(1, new):
            proof = consistency_proof(leaves[:new], old)
            nodes = [root_of(leaves[:old]), *proof] if old & (old - 1) == 0 else proof
            ours = theirs = nodes[0]
            for node, left in zip(nodes[1:], growth_steps(old, new, len(proof)), strict=True):
                ours = node_hash(node, ours) if left else ours
                theirs = node_hash(node, theirs) if left else node_hash(theirs, node)
            assert (ours, theirs) == (root_of(leaves[:old]), root_of(leaves[:new])), (old, new)


def test_without_a_confirmation_there_is_no_folder(beats: Beats, tmp_path: Path) -> None:
    assert write_time(tmp_path, beats.keys, APPROVED, None, ()) == ()
    assert list(tmp_path.iterdir()) == []


def test_those_whom_a_requester_trusts_are_files_in_its_folder(tmp_path: Path, stamper: TimeStamper) -> None:
    assert read_time_trust(FolderNotes(tmp_path)) == TimeTrust()
    (tmp_path / "time").mkdir()
    (tmp_path / "time/witnesses.txt").write_text(f"{EARLY.verifier_key}\n\n{OTHER.verifier_key}\n")
    (tmp_path / "time/authority.pem").write_bytes(stamper.authority.read_bytes())
    (tmp_path / "time/notes.md").write_text("not read")
    trust = read_time_trust(FolderNotes(tmp_path))
    assert [each.name for each in trust.witnesses] == ["witness.test/w1", "witness.test/w2"]
    assert len(trust.roots) == 1
    for name, text in (("witnesses.txt", "nonsense"), ("authority.pem", "nonsense")):
        before = (tmp_path / "time" / name).read_bytes()
        (tmp_path / "time" / name).write_text(text)
        with pytest.raises(ConfigurationError, match="whom you trust for times cannot be read"):
            read_time_trust(FolderNotes(tmp_path))
        (tmp_path / "time" / name).write_bytes(before)

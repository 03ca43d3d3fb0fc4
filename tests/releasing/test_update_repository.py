"""The update repository: thresholds, rotation and publication, judged by python-tuf's own client."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.updater.fetchers import fetcher_for
from agent.updater.release_client import ReleaseClient
from tests.releasing.release_folders import Maintainers, custom, release, sha256, signers

# isort: split
from installation.words import FailedError
from releasing import provenance
from releasing.checking import check
from releasing.package_rules import violations
from releasing.signing import changes, sign, signed_before
from releasing.update_file import write_update_file
from releasing.update_repository import UpdateRepository, write
from tuf.api.metadata import Metadata, Root, TargetFile, Targets


@pytest.fixture
def house(tmp_path: Path) -> Maintainers:
    return Maintainers(tmp_path)


def test_a_visitor_gets_a_release_that_two_of_three_have_signed(house: Maintainers) -> None:
    root = house.begin()
    assert check(house.repository.folder, root) == [
        "doorward-0.2.0.notes.md", "doorward_0.2.0_amd64.deb", "doorward_0.2.0_arm64.deb"
    ]  # fmt: skip
    assert [path.name for path in (house.repository.folder / "provenance").iterdir()] == ["doorward-0.2.0.intoto.jsonl"]


@pytest.mark.parametrize("holders", [(), (0,), (2,), (1, 1)])
def test_a_release_lacking_a_signature_is_not_published(house: Maintainers, holders: tuple[int, ...]) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    house.sign(proposal, "targets", *holders, built=built)
    with pytest.raises(FailedError, match=r"targets.json has [01] valid signatures, and root.json wants 2"):
        house.publish(proposal, built=built)


@pytest.mark.parametrize("present", [0, 1])
def test_python_tuf_s_client_refuses_a_release_that_lacks_a_signature(house: Maintainers, present: int) -> None:
    root = house.begin()
    path = house.repository.metadata / "1.targets.json"
    targets = Metadata.from_file(str(path))
    for keyid in list(targets.signatures)[present:]:
        del targets.signatures[keyid]
    targets.to_file(str(path))
    with pytest.raises(FailedError, match="turned away: targets was signed by"):
        check(house.repository.folder, root)


def test_signatures_that_were_made_on_copies_are_joined(house: Maintainers) -> None:
    root = house.begin()
    proposal, built = house.propose_release("0.2.1")
    copy = house.new_folder("copy")
    shutil.copytree(proposal, copy)
    house.sign(proposal, "targets", 0, built=built)
    house.sign(copy, "targets", 1, built=built)
    house.publish(proposal, copy, built=built)
    assert "doorward_0.2.1_arm64.deb" in check(house.repository.folder, root)


def test_copies_that_differ_are_not_joined(house: Maintainers) -> None:
    house.begin()
    (first, built), (second, other) = house.propose_release("0.2.1"), house.propose_release("0.2.1", rollout_hours=4)
    house.sign(first, "targets", 0, built=built)
    house.sign(second, "targets", 1, built=other)
    with pytest.raises(FailedError, match=r"Two proposals of targets.json differ"):
        house.publish(first, second, built=built)


def test_a_signer_refuses_bytes_that_differ_from_their_own_build(house: Maintainers) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    own = house.new_folder("own")
    shutil.copytree(built, own)
    (own / "doorward_0.2.1_arm64.deb").write_bytes(b"what the commit gives")
    with pytest.raises(FailedError, match=r"do(orward_0.2.1_arm64.deb): the proposal has"):
        house.sign(proposal, "targets", 0, built=own)
    with pytest.raises(FailedError, match="your own build is missing"):
        house.sign(proposal, "targets", 0)
    assert Metadata.from_file(str(next(proposal.glob("*.targets.json")))).signatures == {}


def _other_bytes_without_a_statement(proposal: Path, targets: Metadata[Targets], _built: Path) -> None:
    """Nothing in the folder says that a release comes with it."""
    (proposal / provenance.envelope_name("0.2.1")).unlink()
    targets.signed.targets["doorward_0.2.1_arm64.deb"].hashes["sha256"] = "e" * 64


def _another_version_beside_it(_proposal: Path, targets: Metadata[Targets], built: Path) -> None:
    files = release(built.with_name("evil"), "0.2.2")
    targets.signed.targets.update(files)


def _a_published_package_with_other_bytes(_proposal: Path, targets: Metadata[Targets], _built: Path) -> None:
    targets.signed.targets["doorward_0.2.0_arm64.deb"].hashes["sha256"] = "e" * 64


def _a_published_package_as_a_security_update(_proposal: Path, targets: Metadata[Targets], _built: Path) -> None:
    """Doorbells that take security updates without asking would all take it now."""
    targets.signed.targets["doorward_0.2.0_arm64.deb"].unrecognized_fields["custom"] |= {"security_below": "0.2.0"}


def _the_new_package_as_a_security_update(_proposal: Path, targets: Metadata[Targets], _built: Path) -> None:
    targets.signed.targets["doorward_0.2.1_arm64.deb"].unrecognized_fields["custom"] |= {"security_below": "0.2.1"}


def _a_statement_of_another_commit(proposal: Path, _targets: Metadata[Targets], built: Path) -> None:
    said = json.loads((built / "doorward-0.2.1.statement.json").read_text())
    said["predicate"]["buildDefinition"]["externalParameters"]["commit"] = "e" * 40
    write(proposal / provenance.envelope_name("0.2.1"), provenance.unsigned(json.dumps(said).encode()))


def _a_statement_of_another_version(proposal: Path, _targets: Metadata[Targets], _built: Path) -> None:
    statement = provenance.statement("0.2.2", "e" * 40, {"doorward_0.2.2_arm64.deb": "e" * 64}, {})
    write(proposal / provenance.envelope_name("0.2.2"), provenance.unsigned(statement))


def _a_package_that_breaks_a_rule(_proposal: Path, targets: Metadata[Targets], _built: Path) -> None:
    targets.signed.targets["doorward_0.2.1_arm64.deb"].hashes["sha512"] = "e" * 128


@pytest.mark.parametrize(
    "lie",
    [
        _other_bytes_without_a_statement, _another_version_beside_it, _a_published_package_with_other_bytes,
        _a_published_package_as_a_security_update, _the_new_package_as_a_security_update,
        _a_statement_of_another_commit, _a_statement_of_another_version, _a_package_that_breaks_a_rule,
    ],
)  # fmt: skip
def test_a_signer_refuses_what_a_taken_over_release_machine_adds(
    house: Maintainers, lie: Callable[[Path, Metadata[Targets], Path], None]
) -> None:
    """The machine that proposes and publishes has two keys, and gets no release out of holders who run the tool."""
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    path = next(proposal.glob("*.targets.json"))
    targets: Metadata[Targets] = Metadata.from_file(str(path))
    lie(proposal, targets, built)
    targets.to_file(str(path))
    # The holder's own build holds no package of the attacker.
    with pytest.raises(FailedError):
        house.sign(proposal, "targets", 0, built=built)
    assert Metadata.from_file(str(path)).signatures == {}


def test_without_the_list_before_every_file_must_be_of_the_signers_own_build(house: Maintainers) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    with pytest.raises(FailedError, match=r"doorward-0.2.0.notes.md is not in your build"):
        sign(proposal, house.held["targets"][0], house.repository.root().signed, built, None)


def test_what_changes_in_a_published_file_is_shown(house: Maintainers) -> None:
    house.begin()
    before = house.before
    assert before is not None
    proposal, _ = house.propose_release("0.2.1")
    path = next(proposal.glob("*.targets.json"))
    targets: Metadata[Targets] = Metadata.from_file(str(path))
    _a_published_package_with_other_bytes(proposal, targets, proposal)
    targets.to_file(str(path))
    shown = list(changes(proposal, house.repository.root().signed, before))
    assert "  CHANGED: doorward_0.2.0_arm64.deb" in shown


@pytest.mark.parametrize("role", ["root", "targets"])
def test_a_signer_refuses_a_root_under_which_one_key_is_enough(house: Maintainers, role: str) -> None:
    house.begin()
    rotation = house.propose_root()
    path = next(rotation.glob("*.root.json"))
    root: Metadata[Root] = Metadata.from_file(str(path))
    root.signed.roles[role].threshold = 1
    root.to_file(str(path))
    with pytest.raises(FailedError, match=f"{role} needs 2 signatures"):
        house.sign(rotation, "root", 0)
    assert Metadata.from_file(str(path)).signatures == {}


def test_the_list_before_counts_only_if_two_holders_signed_it(house: Maintainers) -> None:
    house.begin()
    current = house.repository.current_targets()
    assert current is not None
    judge = house.repository.root().signed
    assert signed_before(current, judge).version == 1
    current.signed.targets["doorward_0.2.1_arm64.deb"] = current.signed.targets["doorward_0.2.0_arm64.deb"]
    with pytest.raises(FailedError, match="0 valid signatures"):
        signed_before(current, judge)


def test_a_key_without_a_role_signs_nothing(house: Maintainers) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    judge = house.repository.root().signed
    for stranger in (signers(1)[0], house.held["root"][0], house.held["snapshot"][0]):
        with pytest.raises(FailedError, match="no role in this proposal"):
            sign(proposal, stranger, judge, built, house.before)


def test_after_a_theft_of_two_targets_keys_the_roots_replace_them_and_every_visitor_follows(house: Maintainers) -> None:
    root = house.begin()
    stolen = house.held["targets"]
    house.held["targets"] = signers(3)
    rotation = house.propose_root("targets")
    house.sign(rotation, "root", 1, 2)
    again, built = house.propose_release_with(rotation, "0.2.1")
    house.publish(rotation, again, built=built)
    assert "doorward_0.2.1_amd64.deb" in check(house.repository.folder, root)
    proposal, built = house.propose_release("0.2.2")
    for key in stolen[:2]:
        with pytest.raises(FailedError, match="no role"):
            sign(proposal, key, house.repository.root().signed, built, house.before)
        path = next(proposal.glob("*.targets.json"))
        targets = Metadata.from_file(str(path))
        targets.sign(key, append=True)
        targets.to_file(str(path))
    with pytest.raises(FailedError, match="0 valid signatures"):
        house.publish(proposal, built=built)


def test_new_targets_keys_without_a_new_signature_would_lock_out_every_doorbell(house: Maintainers) -> None:
    house.begin()
    house.held["targets"] = signers(3)
    rotation = house.propose_root("targets")
    house.sign(rotation, "root", 0, 1)
    with pytest.raises(FailedError, match=r"targets.json has 0 valid signatures"):
        house.publish(rotation)
    assert len(house.repository.roots()) == 1


def test_a_root_is_replaced_by_two_of_the_old_and_two_of_the_new(house: Maintainers) -> None:
    root = house.begin()
    old = house.held["root"]
    house.held["root"] = [old[0], *signers(2)]
    rotation = house.propose_root("root")
    judge = house.repository.root().signed
    sign(rotation, old[0], judge, None, None)
    sign(rotation, house.held["root"][1], judge, None, None)
    with pytest.raises(FailedError, match=r"root.json has 1 valid signatures"):
        house.publish(rotation)
    sign(rotation, old[1], judge, None, None)
    house.publish(rotation)
    assert [each.signed.version for each in house.repository.roots()] == [1, 2]
    assert check(house.repository.folder, root)
    assert any("no longer" in line for line in changes(rotation, judge, None))


def test_no_key_has_two_roles_and_no_role_too_few_keys(house: Maintainers) -> None:
    house.held["targets"][0] = house.held["root"][0]
    with pytest.raises(FailedError, match="One key has two roles"):
        house.propose_root()
    house.held["targets"] = signers(2)
    with pytest.raises(FailedError, match="targets needs 3 keys"):
        house.propose_root()


def test_a_withdrawn_version_is_gone_and_its_number_is_not_reused_for_other_bytes(house: Maintainers) -> None:
    root = house.begin()
    proposal, built = house.propose_release("0.2.1")
    house.sign(proposal, "targets", 0, 1, built=built)
    house.publish(proposal, built=built)
    with pytest.raises(FailedError, match="published with other bytes"):
        house.propose_release("0.2.1", rollout_hours=7)
    out = house.new_folder("withdrawal")
    house.repository.propose_targets(house.now, out, withdraw=["0.2.1"])
    house.sign(out, "targets", 1, 2)
    house.publish(out)
    assert [name for name in check(house.repository.folder, root) if "0.2.1" in name] == []


def test_an_expired_timestamp_turns_visitors_away_until_it_is_renewed(house: Maintainers) -> None:
    house.now -= timedelta(days=8)
    root = house.begin()
    with pytest.raises(FailedError, match=r"turned away: (?i:timestamp\.json is expired)"):
        check(house.repository.folder, root)
    assert house.repository.renew(house.now + timedelta(days=8), timestamp=house.held["timestamp"][0]) == []
    assert check(house.repository.folder, root)


def test_a_renewal_tells_which_role_expires_soon_and_renews_the_snapshot_in_time(house: Maintainers) -> None:
    house.begin()
    late = house.now + timedelta(days=100)
    timestamp, snapshot = house.held["timestamp"][0], house.held["snapshot"][0]
    assert house.repository.renew(late, timestamp=timestamp) == ["snapshot.json expires in 20 days."]
    assert house.repository.renew(late, timestamp=timestamp, snapshot=snapshot) == []
    told = house.repository.renew(house.now + timedelta(days=306), timestamp=timestamp, snapshot=snapshot)
    assert told == ["root.json expires in 59 days.", "targets.json expires in 59 days."]


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_a_foreign_online_key_renews_nothing(house: Maintainers, role: str) -> None:
    house.begin()
    before = (house.repository.metadata / "timestamp.json").read_bytes()
    keys = {name: house.held[name][0] for name in ("snapshot", "timestamp")} | {role: signers(1)[0]}
    with pytest.raises(FailedError, match=f"{role}.json has 0 valid signatures"):
        house.repository.renew(house.now + timedelta(days=100), **keys)
    assert (house.repository.metadata / "timestamp.json").read_bytes() == before


def test_a_visitor_sees_the_old_state_or_the_new_one_wherever_a_publication_stops(
    house: Maintainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = house.begin()
    before = check(house.repository.folder, root)
    proposal, built = house.propose_release("0.2.1")
    house.sign(proposal, "targets", 0, 1, built=built)
    untouched, real, done = house.repository.folder, Path.replace, 0
    for steps in range(1, 20):
        left = [steps]

        def replace(path: Path, target: Path, left: list[int] = left) -> Path:
            left[0] -= 1
            if left[0] == 0:
                raise InterruptedError
            return real(path, target)

        house.repository = UpdateRepository(untouched.with_name(f"cut-{steps}"))
        shutil.copytree(untouched, house.repository.folder)
        monkeypatch.setattr(Path, "replace", replace)
        with contextlib.suppress(InterruptedError):
            house.publish(proposal, built=built)
            done = steps
        monkeypatch.undo()
        if done:
            break
        assert check(house.repository.folder, root) == before, steps
        house.publish(proposal, built=built)
        assert "doorward_0.2.1_arm64.deb" in check(house.repository.folder, root), steps
    assert done == len(["three files", "", "", "provenance", "targets", "snapshot", "timestamp"]) + 1


def test_a_release_whose_file_was_changed_is_not_published(house: Maintainers) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    house.sign(proposal, "targets", 0, 1, built=built)
    (built / "doorward_0.2.1_amd64.deb").write_bytes(b"other")
    with pytest.raises(FailedError, match="has other bytes than"):
        house.publish(proposal, built=built)


def test_a_release_needs_its_provenance_with_two_signatures_and_the_same_files(house: Maintainers) -> None:
    house.begin()
    proposal, built = house.propose_release("0.2.1")
    house.sign(proposal, "targets", 0, 1, built=built)
    path = proposal / provenance.envelope_name("0.2.1")
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(FailedError, match=r"provenance of 0.2.1 is missing"):
        house.publish(proposal, built=built)
    payload = provenance.statement("0.2.1", "0" * 40, {"doorward_0.2.1_arm64.deb": "0" * 64}, {})
    for envelope, said in (
        (provenance.unsigned(payload), "lacks 2 valid"),
        (_signed(payload, house), "names other files"),
    ):
        path.write_bytes(envelope)
        with pytest.raises(FailedError, match=said):
            house.publish(proposal, built=built)
    path.write_bytes(whole)
    house.publish(proposal, built=built)


def _signed(payload: bytes, house: Maintainers) -> bytes:
    envelope = provenance.unsigned(payload)
    for signer in house.held["targets"][:2]:
        envelope = provenance.sign(envelope, signer)
    return envelope


def test_two_people_sign_the_same_statement() -> None:
    files, inputs = {"b": "2" * 64, "a": "1" * 64}, {"requirements/run.txt": "3" * 64}
    made = provenance.statement("0.2.0", "4" * 40, files, inputs)
    assert made == provenance.statement("0.2.0", "4" * 40, dict(reversed(files.items())), inputs)
    assert not any(word in made.decode() for word in ("T00:", "2026", str(Path.home())))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0.2"}, "version is"),
        ({"version": "0.02.0"}, "version is"),
        ({"architecture": "armhf"}, "architecture is"),
        ({"version": "0.2.9"}, "its name is not that"),
        ({"released": "today"}, "not a date"),
        ({"security_below": "0.2.1"}, "unsafe itself"),
        ({"upgrade_from": "0.2.0"}, "not below the version"),
        ({"rollout_hours": 169}, "rollout_hours"),
        ({"rollout_hours": True}, "rollout_hours"),
        ({"notes": {"nl": "x"}}, "lack English"),
        ({"notes": {"en": "x" * 4097}}, "longer than"),
        ({"more": 1}, "adds more"),
        ({"debian": []}, "debian is not"),
        ({"kind": "other"}, "kind is"),
    ],
)
def test_a_package_that_breaks_a_rule_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    files = release(tmp_path, "0.2.0")
    files["doorward_0.2.0_arm64.deb"].unrecognized_fields["custom"] = {**custom("0.2.0", "arm64"), **change}
    targets = Targets(targets=files)
    assert said in " ".join(violations(targets))


def test_a_release_has_a_package_for_both_architectures_with_plain_names_and_one_hash(tmp_path: Path) -> None:
    files = release(tmp_path, "0.2.0")
    assert violations(Targets(targets=files)) == []
    gone = {name: each for name, each in files.items() if "arm64" not in name}
    assert violations(Targets(targets=gone)) == ["0.2.0: it needs a package for each of amd64, arm64."]
    notes = files["doorward-0.2.0.notes.md"]
    twice = TargetFile(notes.length, {**notes.hashes, "sha512": "0" * 128}, "../x", notes.unrecognized_fields)
    assert len(violations(Targets(targets={**files, "../x": twice}))) == 2


def test_an_update_file_holds_what_a_visitor_needs_and_is_the_same_each_time(
    house: Maintainers, tmp_path: Path
) -> None:
    root = house.begin()
    first = write_update_file(house.repository, "0.2.0", "arm64", tmp_path / "a")
    second = write_update_file(house.repository, "0.2.0", "arm64", tmp_path / "b")
    assert sha256(first) == sha256(second)
    unpacked = tmp_path / "unpacked"
    subprocess.run(["tar", "-xf", first, "--one-top-level=unpacked"], cwd=tmp_path, check=True)
    assert check(unpacked, root, files=False)
    assert [path.name.partition(".")[2] for path in (unpacked / "targets").iterdir()] == ["doorward_0.2.0_arm64.deb"]
    with pytest.raises(FailedError, match="is not published"):
        write_update_file(house.repository, "0.2.9", "arm64", tmp_path)


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_doorbell_takes_what_was_published_as_a_folder_and_as_a_file(
    house: Maintainers, tmp_path: Path, form: str
) -> None:
    root = house.begin()
    proposal, built = house.propose_release("0.2.1", security_below="0.2.1", upgrade_from="0.2.0", rollout_hours=48)
    house.sign(proposal, "targets", 0, 1, built=built)
    house.publish(proposal, built=built)
    source = house.repository.folder
    if form == "file":
        source = write_update_file(house.repository, "0.2.1", "arm64", tmp_path / "stick")
    for name in ("work", "trusted"):
        (tmp_path / name).mkdir()
    client = ReleaseClient(fetcher_for(str(source), tmp_path / "work"), tmp_path / "trusted", root)
    client.refresh()
    found = client.newest("0.2.0", "arm64", "13")
    assert found is not None
    package, offer = found
    assert (offer.version, offer.security, offer.rollout_hours) == ("0.2.1", True, 48)
    client.download(package, tmp_path / "package.deb")
    assert (tmp_path / "package.deb").read_bytes() == b"doorward_0.2.1_arm64.deb\n"

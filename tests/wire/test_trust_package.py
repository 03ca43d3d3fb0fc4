"""Trust packages: nothing passes that a threshold of the root's keys has not signed for just now."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DoorwardError, FormatError, OpenError, RequestError
from agent.wire import strictjson
from agent.wire.broker_directory import DIRECTORY_LIMIT_BYTES
from agent.wire.trust import SeenVersion, TrustStore, claimed_root, with_sections
from agent.wire.trust_keys import TrustKey, parse_trust_key
from agent.wire.trust_package import (
    DIRECTORY_SLOTS,
    MAX_CHUNK_BYTES,
    MAX_DIRECTORY_CHUNK_BYTES,
    PUBLISHED_LIMIT_BYTES,
    TRUST_SLOTS,
    PackageIndex,
    PackagePiece,
    RootFile,
    TrustPackage,
    index_of,
    is_package,
    read_chunk,
    read_index,
    split_directory,
    split_package,
)
from tests.wire import package_vectors, samples

EMPTY = TrustStore().with_root(samples.ROOT_KEY)
SEEN, _ = EMPTY.accept(package_vectors.SEEN)
ROTATED, _ = EMPTY.accept(package_vectors.AFTER_ROTATION)
ERRORS: dict[str, type[DoorwardError]] = {
    "malformed": FormatError, "unsigned": OpenError, "mixed": RequestError, "ended": RequestError,
    "older": RequestError, "forked": RequestError,
}  # fmt: skip
WORDS = {  # the others are told apart by their class
    "older": "older root files|another of version", "forked": "has another root file . than",
}  # fmt: skip


def judged(store: TrustStore, data: bytes, verdict: str) -> None:
    if verdict == "accepted":
        store.accept(data, samples.NOW_S)
        return
    with pytest.raises(ERRORS[verdict], match=WORDS.get(verdict, ".")) as refused:
        store.accept(data, samples.NOW_S)
    assert type(refused.value) is ERRORS[verdict]


@pytest.mark.parametrize("name", sorted(package_vectors.first()))
def test_to_a_door_that_knows_the_name_key(name: str) -> None:
    judged(EMPTY, *package_vectors.first()[name])


@pytest.mark.parametrize("name", sorted(package_vectors.after_seen()))
def test_to_a_door_that_has_seen_a_newer_package(name: str) -> None:
    judged(SEEN, *package_vectors.after_seen()[name])


@pytest.mark.parametrize("name", sorted(package_vectors.after_rotation()))
def test_to_a_door_that_has_seen_the_keys_of_the_first_root_file_retired(name: str) -> None:
    judged(ROTATED, *package_vectors.after_rotation()[name])


def test_two_roots_of_one_id_have_each_their_own_newest_bundle() -> None:
    """The one whose id a forger of Ed25519 took is not locked out by the forger's highest version."""
    store = TrustStore()
    for root, data, verdict in package_vectors.of_one_id():
        store = store.without_root(samples.ROOT_KEY.id).with_root(parse_trust_key(root))
        judged(store, data, verdict)
        if verdict == "accepted":
            store, _ = store.accept(data)


@pytest.mark.parametrize("name", sorted(package_vectors.sections()))
def test_to_a_door_in_a_cell_of_a_list_with_sections(name: str) -> None:
    data, cell, verdict, names = package_vectors.sections()[name]
    store = dataclasses.replace(EMPTY, cell=cell)
    if verdict in ERRORS:
        judged(store, data, verdict)
        return
    opened = store.open(data)
    assert opened.lacks == (verdict == "lacking")
    assert tuple(each.id for each in opened.bundle.requesters) == names


def test_a_package_keeps_its_signatures_with_some_of_its_sections() -> None:
    whole = package_vectors.sections()["all, in the north"][0]
    north, lacking = (
        package_vectors.sections()[name][0] for name in ("those of the north, in the north", "none, in the north")
    )
    assert with_sections(whole, lambda _: True) == whole
    assert with_sections(whole, lambda cells: cells.holds("287-379")) == north
    assert with_sections(whole, lambda _: False) == lacking
    assert with_sections(lacking, lambda _: True) == lacking, "a section that it lacks does not come back"
    alone = samples.several(samples.bundle(), samples.ROOT)
    assert with_sections(alone, lambda _: False) == alone, "a bundle alone has none"


def test_what_was_seen_is_known_by_all_its_versions_and_by_the_payload_of_its_newest_root_file() -> None:
    seen = SEEN.newest[samples.ROOT_KEY.text]
    file = hashlib.sha256(strictjson.encode(samples.root_file())).hexdigest()
    ends_s = samples.NOW_S + 7 * 86_400
    assert seen == SeenVersion(4, seen.sha256, root_version=1, timestamp=5, ends_s=ends_s, root_sha256=file)
    parts = EMPTY.open(samples.package(**package_vectors.THREE_FILES)).parts
    files = (samples.root_file(), package_vectors.REPLACED, package_vectors.REPLACED_AGAIN)
    assert parts is not None
    assert parts.root_sha256s == tuple(hashlib.sha256(strictjson.encode(each)).hexdigest() for each in files)


def test_a_bundle_alone_names_no_root_files_so_any_of_the_name_key_may_follow() -> None:
    alone = samples.several(samples.bundle(), samples.ROOT)
    store, _ = EMPTY.accept(alone)
    assert store.newest[samples.ROOT_KEY.text].root_sha256 == ""
    store.accept(samples.package(package_vectors.LATER, version=9, **package_vectors.by_name_key(1)))


@pytest.mark.parametrize("root", [samples.ROOT_KEY, samples.OWNER_ROOT], ids=["chosen again", "another name key"])
def test_a_reader_that_a_thief_of_the_name_key_reaches_first_follows_only_another_name_key(root: TrustKey) -> None:
    thiefs = samples.package(version=1, **package_vectors.by_name_key(1))
    caught, _ = EMPTY.accept(thiefs)
    again = caught.without_root(samples.ROOT_KEY.id).with_root(root)
    if root == samples.ROOT_KEY:
        with pytest.raises(RequestError, match="another root file 1"):
            again.accept(samples.package(package_vectors.LATER, version=9))
        return
    file = samples.root_file(root=root.id)
    begun = samples.several(file, samples.OWNER, *samples.ROOT_SIGNERS[:2])
    again.accept(samples.package(samples.bundle(root=root.id), roots=(begun,), root=file))


def test_a_root_that_is_removed_and_chosen_again_keeps_its_root_files() -> None:
    again = ROTATED.without_root(samples.ROOT_KEY.id).with_root(samples.ROOT_KEY)
    thiefs = samples.package(package_vectors.LATER, version=9, **package_vectors.by_keys_of_the_first_file(3))
    with pytest.raises(RequestError, match="has another root file 2 than") as refused:
        again.accept(thiefs)
    assert "Do not use it" in refused.value.remedy
    again.accept(package_vectors.AFTER_ROTATION)


def test_of_two_packages_one_follows_the_other_only_with_its_root_files() -> None:
    alone = EMPTY.open(samples.several(samples.bundle(), samples.ROOT))
    one, two = EMPTY.open(samples.package()), EMPTY.open(package_vectors.AFTER_ROTATION)
    thiefs = EMPTY.open(samples.package(**package_vectors.by_name_key(1)))
    assert [each.follows(alone) for each in (alone, one, two, thiefs)] == [True] * 4
    assert [each.follows(one) for each in (alone, one, two, thiefs)] == [False, True, True, False]
    assert [each.follows(two) for each in (alone, one, two, thiefs)] == [False, False, True, False]


def test_without_a_clock_no_package_is_fresh_and_none_has_ended() -> None:
    opened = EMPTY.open(samples.package())
    assert opened.parts is not None
    assert opened.parts.is_fresh(samples.NOW_S)
    assert not opened.parts.is_fresh(None)
    assert not opened.is_over(None)


def test_a_package_of_a_root_that_no_owner_chose_is_unsigned() -> None:
    with pytest.raises(OpenError):
        TrustStore().accept(samples.package())
    with pytest.raises(OpenError):
        TrustStore().with_root(samples.OWNER_ROOT).accept(samples.package())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"threshold": 4}, "threshold"),
        ({"expires_s": 1}, "expires_s"),
        ({"timestamp_keys": (samples.pair_text(samples.ROOT_SIGNERS[0]),)}, "keys"),
        ({"keys": ("ed25519:" + "A" * 43 + "+mldsa44:" + "A" * 43,)}, "sound"),
        ({"keys": (samples.ROOT_KEY.ed25519.text,)}, "ML-DSA-44 half"),
        ({"keys": (samples.ROOT_KEY.text + "A",)}, "damaged"),
    ],
)
def test_a_root_file_that_weakens_itself_is_none(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(FormatError, match=word):
        samples.root_file(**changes)


def test_a_timestamp_lives_for_31_days_at_most() -> None:
    root, listed = samples.root_file(), samples.bundle()
    longest_s = samples.NOW_S + 31 * 86_400
    assert samples.timestamp(root, listed, issued_s=samples.NOW_S, expires_s=longest_s).expires_s == longest_s
    with pytest.raises(FormatError, match="not within 31 days"):
        samples.timestamp(root, listed, issued_s=samples.NOW_S, expires_s=longest_s + 1)


def test_root_files_of_two_roots_make_no_chain() -> None:
    other = samples.root_file(version=2, root=samples.OWNER_KEY.id)
    data = samples.package(
        samples.bundle(root=samples.OWNER_KEY.id),
        roots=(package_vectors.FIRST, samples.several(other, *samples.ROOT_SIGNERS[:2])),
        root=other,
    )
    with pytest.raises(FormatError):
        EMPTY.with_root(samples.OWNER_ROOT).accept(data)


@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_signature_of_another_length_is_malformed(signature: str) -> None:
    package = strictjson.decode(samples.package(), TrustPackage, limit_bytes=1 << 20)
    bundle = package.bundle
    begin = bundle.index('"sig":"') + 7
    cut = bundle[:begin] + signature + bundle[bundle.index('"', begin) :]
    with pytest.raises(FormatError):
        EMPTY.accept(strictjson.encode(TrustPackage(v=1, roots=package.roots, bundle=cut, timestamp=package.timestamp)))


def test_an_envelope_of_another_type_is_no_root_file() -> None:
    package = strictjson.decode(samples.package(), TrustPackage, limit_bytes=1 << 20)
    with pytest.raises(FormatError):
        EMPTY.accept(
            strictjson.encode(
                TrustPackage(v=1, roots=(package.bundle,), bundle=package.bundle, timestamp=package.timestamp)
            )
        )


def test_a_package_is_cut_into_chunks_that_fit_a_message_and_join_again() -> None:
    data = b'{"bundle":' + b"x" * (PUBLISHED_LIMIT_BYTES - 10)
    assert is_package(data)
    chunks = split_package(data)
    assert len(chunks) == 8
    assert all(len(each) < MAX_CHUNK_BYTES + 80 for each in chunks)
    assert b"".join(read_chunk(each).piece for each in chunks) == data
    for make in (split_package, index_of):
        with pytest.raises(FormatError, match="can be published"):
            make(data + b"x")


def test_a_change_of_the_list_leaves_the_pieces_of_root_files_as_they_are() -> None:
    def pieces(data: bytes) -> list[bytes]:
        return [read_chunk(each).piece for each in split_package(data)]

    signed = (samples.several(samples.root_file(), samples.ROOT, *samples.ROOT_SIGNERS[:2]),)
    one, other = (samples.package(samples.bundle(version=number), roots=signed) for number in (3, 40))
    roots = one[one.index(b'"roots":[') : one.index(b'"timestamp":')]
    begins = [piece[:9] for piece in pieces(one)].index(b'"roots":[')
    kept = pieces(one)[begins : begins + -(-len(roots) // MAX_CHUNK_BYTES)]
    assert b"".join(kept) == roots
    assert set(kept) < set(pieces(other))
    assert pieces(one)[0] != pieces(other)[0]


@pytest.mark.parametrize(
    "data", [b"", b"ab" * 32 + b" 1\n", b"ab" * 32 + b" 0\nx", b"ab" * 32 + b" 100\nx", b"noise\nx"]
)
def test_what_is_almost_a_chunk_is_none(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_chunk(data)


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "ab" * 32,
        "ab" * 32 + "\n",
        "ab" * 32 + "\n" + "cd" * 32 + " 1",
        "ab" * 32 + "\n" + "cd" * 32 + " 0\n",
        "ab" * 32 + "\n" + "cd" * 32 + f" {MAX_CHUNK_BYTES + 1}\n",
        "ab" * 32 + "\n" + ("cd" * 32 + " 1\n") * (TRUST_SLOTS + 1),
    ],
)
def test_what_is_almost_an_index_is_none(lines: str) -> None:
    with pytest.raises(FormatError):
        read_index(lines.encode())


@given(st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 22_000), st.booleans())
def test_an_index_names_each_piece_of_a_package_and_no_package_has_more_pieces_than_slots(
    bundle: int, roots: int, rest: int, has_sections: bool
) -> None:
    data = b'{"bundle":"' + b"b" * bundle + b'","roots":["' + b"r" * roots + b'"],'
    data += (b'"sections":["' + b"s" * rest + b'"],' if has_sections else b"") + b'"timestamp":"t","v":1}'
    if len(data) > PUBLISHED_LIMIT_BYTES:
        return
    index, chunks = read_index(index_of(data)), [read_chunk(each) for each in split_package(data)]
    assert b"".join(each.piece for each in chunks) == data
    assert index == PackageIndex(
        hashlib.sha256(data).hexdigest(),
        tuple(PackagePiece(hashlib.sha256(each.piece).hexdigest(), len(each.piece)) for each in chunks),
    )
    assert {(each.sha256, each.count) for each in chunks} == {(index.sha256, len(chunks))}
    assert len(chunks) <= 10 <= TRUST_SLOTS


def test_the_largest_directory_is_cut_into_chunks_that_a_broker_takes() -> None:
    data = b"x" * DIRECTORY_LIMIT_BYTES
    chunks = split_directory(data)
    assert len(chunks) == DIRECTORY_SLOTS
    assert b"".join(each.partition(b"\n")[2] for each in chunks) == data
    assert max(map(len, chunks)) + 200 < 147_456, "max_packet_size of config/mosquitto"
    for wrong in (b"", b"x" * (DIRECTORY_SLOTS * MAX_DIRECTORY_CHUNK_BYTES + 1)):
        with pytest.raises(FormatError, match="cannot be published"):
            split_directory(wrong)


def test_the_root_that_a_package_or_a_bundle_claims_is_read_without_a_signature() -> None:
    bundle = samples.several(samples.bundle(), samples.ROOT)
    assert (
        claimed_root(samples.package(signers=(package_vectors.THIEF,))) == claimed_root(bundle) == samples.ROOT_KEY.id
    )
    with pytest.raises(FormatError):
        claimed_root(b'{"bundle":')


def test_the_name_key_may_be_one_of_the_keys() -> None:
    root = samples.root_file(keys=(samples.ROOT_KEY.text,), threshold=1)
    data = samples.package(root=root, roots=(samples.several(root, samples.ROOT),), signers=(samples.ROOT,))
    EMPTY.accept(data, samples.NOW_S)
    assert isinstance(root, RootFile)

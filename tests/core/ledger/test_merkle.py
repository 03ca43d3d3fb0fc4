"""The Merkle tree against RFC 6962's published roots, against its definition, and against tampering."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.ledger import merkle
from agent.errors import DoorwardError, FormatError, OpenError

# The eight leaves of certificate-transparency's merkletree tests, and the roots of their first 1..8.
LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
LEAVES.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(bytes([number])) for number in range(40)]


def defined_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return merkle.node_hash(defined_root(hashes[:split]), defined_root(hashes[split:]))


def frontier_of(hashes: list[bytes]) -> merkle.Frontier:
    frontier = merkle.Frontier()
    for hashed in hashes:
        frontier = frontier.append(hashed)
    return frontier


def test_the_published_roots_come_out() -> None:
    for size, root in enumerate(ROOTS, start=1):
        assert merkle.root_of(map(merkle.leaf_hash, LEAVES[:size])).hex() == root


def test_an_empty_log_has_the_hash_of_nothing() -> None:
    assert merkle.Frontier().root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_frontier_agrees_with_the_definition_at_every_size() -> None:
    for size in range(len(HASHES) + 1):
        assert frontier_of(HASHES[:size]).root == defined_root(HASHES[:size])


def test_a_stored_frontier_goes_on_where_it_stopped() -> None:
    for size in range(len(HASHES)):
        resumed = merkle.Frontier.load(frontier_of(HASHES[:size]).dump())
        assert resumed.append(HASHES[size]) == frontier_of(HASHES[: size + 1])


@given(st.binary(max_size=120))
def test_a_damaged_stored_frontier_is_refused_or_whole(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert merkle.Frontier.load(data).dump() == data


@pytest.mark.parametrize(
    ("size", "roots"), [(-1, ()), (-1, (b"x" * 32,)), (0, (b"x" * 32,)), (1, ()), (1, (b"x" * 31,))]
)
def test_a_frontier_that_is_none_cannot_be_made(size: int, roots: tuple[bytes, ...]) -> None:
    with pytest.raises(FormatError, match="not the frontier"):
        merkle.Frontier(size, roots)


def test_every_entry_of_every_small_log_is_provably_in_it_and_nowhere_else() -> None:
    for size in range(1, 34):
        hashes, root = HASHES[:size], defined_root(HASHES[:size])
        for index in range(size):
            proof = merkle.inclusion_proof(hashes, index)
            merkle.check_inclusion(hashes[index], index, size, root, proof)
            for wrong in {index - 1, index + 1, size - 1} - {index}:
                with pytest.raises(OpenError):
                    merkle.check_inclusion(hashes[index], wrong, size, root, proof)


def test_every_small_log_provably_continues_each_of_its_beginnings() -> None:
    for new in range(34):
        for old in range(new + 1):
            proof = merkle.consistency_proof(HASHES[:new], old)
            merkle.check_consistency(old, defined_root(HASHES[:old]), new, defined_root(HASHES[:new]), proof)


def test_a_log_with_one_rewritten_entry_never_continues_the_old_one() -> None:
    for new in range(1, 20):
        for old in range(1, new + 1):
            forged = [*HASHES[:new]]
            forged[old - 1] = merkle.leaf_hash(b"forged")
            proof = merkle.consistency_proof(forged, old)
            with pytest.raises(OpenError):
                merkle.check_consistency(old, defined_root(HASHES[:old]), new, defined_root(forged), proof)


def test_a_consistency_proof_with_more_than_the_tree_has_room_for_fails() -> None:
    proof = (*merkle.consistency_proof(HASHES[:7], 3), HASHES[0], HASHES[1])
    with pytest.raises(OpenError):
        merkle.check_consistency(3, defined_root(HASHES[:3]), 7, defined_root(HASHES[:7]), proof)
    with pytest.raises(OpenError):
        merkle.check_consistency(3, defined_root(HASHES[:3]), 7, defined_root(HASHES[:7]), ())


def test_a_shorter_log_never_continues_a_longer_one() -> None:
    with pytest.raises(OpenError):
        merkle.check_consistency(3, defined_root(HASHES[:3]), 2, defined_root(HASHES[:2]), ())


@given(st.integers(1, 40), st.data())
def test_a_proof_changed_in_any_way_fails(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    root = defined_root(HASHES[:size])
    inclusion = list(merkle.inclusion_proof(HASHES[:size], index))
    consistency = list(merkle.consistency_proof(HASHES[:size], old))
    with pytest.raises(OpenError):
        merkle.check_inclusion(HASHES[index], index, size, root, spoiled(inclusion, data))
    with pytest.raises(OpenError):
        merkle.check_consistency(old, defined_root(HASHES[:old]), size, root, spoiled(consistency, data))


def spoiled(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """The proof longer by one, shorter by one, or with one bit turned."""
    ways = ["longer", *(["shorter", "bit"] if proof else [])]
    way = data.draw(st.sampled_from(ways))
    if way == "longer":
        return [*proof, HASHES[0]]
    if way == "shorter":
        return proof[:-1]
    number = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    turned = (int.from_bytes(proof[number], "big") ^ (1 << bit)).to_bytes(32, "big")
    return [*proof[:number], turned, *proof[number + 1 :]]


def test_proofs_beyond_the_log_are_refused_not_made() -> None:
    for attempt in (
        lambda: merkle.inclusion_proof(HASHES[:3], 3),
        lambda: merkle.inclusion_proof(HASHES[:3], -1),
        lambda: merkle.consistency_proof(HASHES[:3], 4),
        lambda: merkle.check_inclusion(HASHES[0], 1, 1, HASHES[0], ()),
    ):
        with pytest.raises(DoorwardError):
            attempt()


def test_a_node_cannot_pose_as_a_leaf() -> None:
    joined = HASHES[0] + HASHES[1]
    assert merkle.leaf_hash(joined) != merkle.node_hash(HASHES[0], HASHES[1])

"""No requester may ask until the owner chose a root; an owner sees a bundle's changes before it counts."""

from __future__ import annotations

import pytest

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.trust_roots import add_trust_root, bundle_change, offer_bundle, remove_trust_root, trust_state
from agent.errors import ConfigurationError, OpenError, RequestError
from agent.wire.trust import RequesterKey, TrustDiff
from tests.clients.owner.conftest import Home, now, signed_bundle
from tests.clients.owner.fake_device import FakeDevice
from tests.wire import package_vectors, samples

ROOT, ROOT_ID = samples.ROOT_KEY.text, samples.ROOT_KEY.id


@pytest.fixture
def enrolled(device: FakeDevice, keys: OwnerKeys) -> OwnerKeys:
    enrol(device, keys, clock=now)
    return keys


def test_a_new_device_trusts_nobody(device: FakeDevice, enrolled: OwnerKeys) -> None:
    trusted = trust_state(device, enrolled)
    assert (trusted.store.roots, trusted.store.bundles, trusted.unconfirmed) == ({}, {}, ())


def test_a_bundle_counts_only_under_a_root_the_owner_chose(device: FakeDevice, enrolled: OwnerKeys) -> None:
    with pytest.raises(OpenError, match="not one you chose"):
        offer_bundle(device, enrolled, signed_bundle())
    add_trust_root(device, enrolled, ROOT, clock=now)
    assert offer_bundle(device, enrolled, signed_bundle()) == TrustDiff(added=("harbour-police",))
    assert "harbour-police" in {entry.id for entry in device.trust.bundles[samples.ROOT_KEY.id].requesters}


def test_what_a_bundle_would_change_is_shown_without_changing_it(home: Home) -> None:
    newer = signed_bundle(version=4, requesters=(samples.requester(name="Harbor Police"),))
    shown = bundle_change(home.device, home.keys, newer)
    assert shown.change == TrustDiff(changed=("harbour-police",))
    assert shown.bundle.version == 4
    assert home.device.trust.bundles[samples.ROOT_KEY.id].version == 3


def test_an_older_bundle_is_refused_before_it_reaches_the_device(home: Home) -> None:
    home.device.asked_ops.clear()
    with pytest.raises(RequestError, match="was seen before"):
        offer_bundle(home.device, home.keys, signed_bundle(version=2))
    assert "trust_bundle" not in home.device.asked_ops


def test_a_root_taken_out_takes_its_requesters_along_but_not_the_memory_of_its_newest_bundle(home: Home) -> None:
    remove_trust_root(home.device, home.keys, ROOT, clock=now)
    assert not trust_state(home.device, home.keys).store.roots
    assert not home.device.trust.roots
    add_trust_root(home.device, home.keys, ROOT, clock=now)
    with pytest.raises(RequestError, match="was seen before"):
        offer_bundle(home.device, home.keys, signed_bundle(version=2))


def test_a_root_that_only_the_device_names_is_shown_as_unconfirmed(home: Home) -> None:
    home.device.trust = home.device.trust.with_root(samples.OWNER_ROOT)
    assert trust_state(home.device, home.keys).unconfirmed == (samples.OWNER_ROOT,)


FORGED = package_vectors.FORGED
"""A line that a forger of Ed25519 can make: the id of the chosen root, and a second key of the forger."""


def exchanged(home: Home) -> None:
    """Another owner was deceived: the device has the forged line and a bundle by the forger instead of the root's."""
    home.device.trust = home.device.trust.without_root(FORGED.id).with_root(FORGED)
    data = package_vectors.by_forged_pair(samples.bundle(version=9))
    assert home.device.trust.open(data).bundle.version == 9
    home.device.bundles[FORGED.id] = data


def test_a_root_of_the_device_with_the_id_of_a_chosen_one_and_another_second_key_is_unconfirmed(home: Home) -> None:
    exchanged(home)
    shown = trust_state(home.device, home.keys)
    assert shown.unconfirmed == (FORGED,)
    assert (shown.store.roots, shown.store.bundles) == ({ROOT_ID: samples.ROOT_KEY}, {})
    remove_trust_root(home.device, home.keys, FORGED.text, clock=now)
    shown = trust_state(home.device, home.keys)
    assert (shown.unconfirmed, shown.store.roots) == ((), {ROOT_ID: samples.ROOT_KEY})


def test_an_owner_who_types_such_a_line_signs_nothing_and_forgets_nothing(home: Home) -> None:
    home.device.trust = home.device.trust.without_root(ROOT_ID)
    said = len(home.device.statements)
    with pytest.raises(RequestError, match="another ML-DSA-44 key"):
        add_trust_root(home.device, home.keys, FORGED.text, clock=now)
    with pytest.raises(ConfigurationError, match="is not trusted"):
        remove_trust_root(home.device, home.keys, FORGED.text, clock=now)
    assert len(home.device.statements) == said
    assert trust_state(home.device, home.keys).store.roots == {ROOT_ID: samples.ROOT_KEY}


def test_an_owner_who_was_deceived_by_such_a_line_can_choose_the_root_itself_afterwards(
    device: FakeDevice, enrolled: OwnerKeys
) -> None:
    highest = (1 << 53) - 1
    add_trust_root(device, enrolled, FORGED.text, clock=now)
    offer_bundle(device, enrolled, package_vectors.by_forged_pair(samples.bundle(version=highest)))
    remove_trust_root(device, enrolled, FORGED.text, clock=now)
    add_trust_root(device, enrolled, ROOT, clock=now)
    offer_bundle(device, enrolled, signed_bundle())
    assert trust_state(device, enrolled).store.bundles[ROOT_ID].version == 3
    known = enrolled.memory.device(device.key.id)
    assert known is not None
    assert {root: seen.version for root, seen in known.bundles.items()} == {FORGED.text: highest, ROOT: 3}


def test_a_root_already_at_the_device_is_only_confirmed(home: Home) -> None:
    home.device.trust = home.device.trust.with_root(samples.OWNER_ROOT)
    said = len(home.device.statements)
    add_trust_root(home.device, home.keys, samples.OWNER_ROOT.text, clock=now)
    assert len(home.device.statements) == said
    assert trust_state(home.device, home.keys).unconfirmed == ()


def test_a_root_nobody_chose_cannot_be_taken_out(home: Home) -> None:
    with pytest.raises(ConfigurationError, match="is not trusted"):
        remove_trust_root(home.device, home.keys, samples.OWNER_ROOT.text, clock=now)


def test_a_newer_bundle_that_another_owner_gave_is_remembered_too(home: Home) -> None:
    newer, older = signed_bundle(version=4), home.device.bundles[samples.ROOT_KEY.id]
    home.device.bundles[samples.ROOT_KEY.id] = newer
    assert trust_state(home.device, home.keys).store.bundles[samples.ROOT_KEY.id].version == 4
    home.device.bundles[samples.ROOT_KEY.id] = older
    with pytest.raises(OpenError, match="older trust bundle"):
        trust_state(home.device, home.keys)


def test_after_a_move_only_the_requesters_that_the_owner_saw_at_both_places_are_agreed_to(
    device: FakeDevice, enrolled: OwnerKeys
) -> None:
    """A stored section can hold a requester of the new place. The owner has not agreed to it, and is told that it
    joined."""
    add_trust_root(device, enrolled, ROOT, clock=now)
    root = samples.ROOT_KEY.id
    package, cell, _, names = package_vectors.sections()["all, in the north"]
    assert cell is not None
    device.bundles[root], device.cell, device.agreed_in = package, cell, {root: cell}

    def agreed() -> tuple[str, ...]:
        return tuple(entry.id for entry in trust_state(device, enrolled).store.bundles[root].requesters)

    assert agreed() == names
    device.cell = "288-379"
    assert agreed() == ("local-1",)
    assert bundle_change(device, enrolled, package, clock=now).change == TrustDiff(added=("local-3",))
    device.heard[root] = package
    assert agreed() == ("local-1",)
    device.agreed_in = {root: "288-379"}
    assert agreed() == ("local-1", "local-3")


def test_a_yes_counts_only_for_the_place_that_the_owner_saw(device: FakeDevice, enrolled: OwnerKeys) -> None:
    """Another owner moves the doorbell while the question is on the screen."""
    add_trust_root(device, enrolled, ROOT, clock=now)
    package, *_ = package_vectors.sections()["all, in the north"]
    device.cell = "287-379"
    shown = bundle_change(device, enrolled, package, clock=now)
    device.cell = "288-379"
    with pytest.raises(RequestError, match="was moved meanwhile"):
        offer_bundle(device, enrolled, package, shown=shown, clock=now)
    assert samples.ROOT_KEY.id not in trust_state(device, enrolled).store.bundles
    again = bundle_change(device, enrolled, package, clock=now)
    assert again.change != shown.change
    assert offer_bundle(device, enrolled, package, shown=again, clock=now) == again.change


FIRE_KEY = RequesterKey(key=samples.OWNER_KEY.text, from_s=0, until_s=2**31)
FIRE = samples.requester(id="harbour-fire", name="Harbour Fire", keys=(FIRE_KEY,))
NEWER = samples.bundle(version=4, requesters=(samples.requester(name="Harbor Police"), FIRE))


def heard(home: Home, listed: object, **changes: object) -> bytes:
    """The device has heard a package that waits for an owner."""
    data = samples.package(listed, **changes)  # type: ignore[arg-type]
    home.device.heard[samples.ROOT_KEY.id] = data
    return data


def test_news_of_a_root_waits_beside_what_counts_and_one_yes_makes_it_count(home: Home) -> None:
    data = heard(home, NEWER)
    state = trust_state(home.device, home.keys)
    assert state.offers == {samples.ROOT_KEY.id: data}
    assert [entry.name for entry in state.store.bundles[samples.ROOT_KEY.id].requesters] == ["Harbour Police"]
    assert offer_bundle(home.device, home.keys, data) == TrustDiff(added=("harbour-fire",), changed=("harbour-police",))
    assert trust_state(home.device, home.keys).store.bundles[samples.ROOT_KEY.id] == NEWER


def test_a_requester_whom_the_news_takes_off_the_list_is_refused_here_too(home: Home) -> None:
    heard(home, samples.bundle(version=4, requesters=()))
    assert trust_state(home.device, home.keys).store.bundles[samples.ROOT_KEY.id].requesters == ()


def test_a_device_that_hides_news_it_showed_before_is_noticed(home: Home) -> None:
    heard(home, NEWER, version=5)
    trust_state(home.device, home.keys)
    home.device.heard.clear()
    with pytest.raises(OpenError, match="older trust bundle"):
        trust_state(home.device, home.keys)
    heard(home, NEWER, version=4)
    with pytest.raises(OpenError, match="older trust bundle"):
        trust_state(home.device, home.keys)


def test_after_a_rotation_no_package_by_retired_keys_or_the_name_key_is_taken(home: Home) -> None:
    offer_bundle(home.device, home.keys, package_vectors.AFTER_ROTATION, clock=now)
    root, honest = samples.ROOT_KEY.id, package_vectors.AFTER_ROTATION
    remove_trust_root(home.device, home.keys, ROOT, clock=now)
    add_trust_root(home.device, home.keys, ROOT, clock=now)
    for chain in (package_vectors.by_name_key(3), package_vectors.by_keys_of_the_first_file(3)):
        thiefs = samples.package(package_vectors.LATER, version=9, **chain)
        home.device.bundles, home.device.heard = {root: honest}, {}
        with pytest.raises(RequestError, match="has another root file 2 than"):
            offer_bundle(home.device, home.keys, thiefs, clock=now)
        # Nor is it believed of a doorbell that shows it as agreed to, or as news.
        for agreed, news in ((thiefs, None), (None, thiefs), (honest, thiefs)):
            home.device.bundles = {root: agreed} if agreed else {}
            home.device.heard = {root: news} if news else {}
            with pytest.raises(OpenError, match=r"or other root files than before: .* another root file 2"):
                trust_state(home.device, home.keys)
    home.device.bundles, home.device.heard = {root: honest}, {}
    third = samples.package(samples.bundle(version=5), version=1, **package_vectors.THREE_FILES)
    offer_bundle(home.device, home.keys, third, clock=now)
    assert trust_state(home.device, home.keys).store.newest[ROOT].root_version == 3


def test_a_doorbell_cannot_show_the_names_of_a_thiefs_package_beside_the_roots_news(home: Home) -> None:
    root, named = samples.ROOT_KEY.id, samples.bundle(version=3, requesters=(samples.requester(name="Harbour Thief"),))
    home.device.bundles[root] = samples.package(named, **package_vectors.by_keys_of_the_first_file(2))
    home.device.heard[root] = samples.package(samples.bundle(version=4), version=5, **package_vectors.TWO_FILES)
    with pytest.raises(OpenError, match="two chains of root files"):
        trust_state(home.device, home.keys)
    home.device.bundles[root] = samples.package(named)
    [shown] = trust_state(home.device, home.keys).store.bundles[root].requesters
    assert shown.name == "Harbour Thief", "the root itself signed that name, and no owner has agreed to another one"


def test_news_that_has_ended_takes_away_and_cannot_be_agreed_to(home: Home) -> None:
    ended = {"issued_s": samples.NOW_S - 100, "expires_s": samples.NOW_S - 1}
    data = heard(home, NEWER, **ended)
    state = trust_state(home.device, home.keys)
    assert state.stale_roots(samples.NOW_S) == {samples.ROOT_KEY.id: samples.NOW_S - 1}
    assert state.stale_roots(samples.NOW_S - 1) == {}
    with pytest.raises(RequestError, match="has ended"):
        offer_bundle(home.device, home.keys, data, clock=lambda: samples.NOW_S * 1000)


def test_news_of_a_root_that_this_owner_did_not_choose_is_left_out(home: Home) -> None:
    home.device.heard["0" * 16] = samples.package(samples.bundle(root=samples.OWNER_KEY.id), root=samples.root_file(
        root=samples.OWNER_KEY.id))  # fmt: skip
    assert trust_state(home.device, home.keys).offers == {}


def test_a_root_without_a_first_bundle_lets_nobody_ask(device: FakeDevice, enrolled: OwnerKeys) -> None:
    add_trust_root(device, enrolled, ROOT, clock=now)
    device.heard[samples.ROOT_KEY.id] = samples.package()
    assert trust_state(device, enrolled).store.bundles[samples.ROOT_KEY.id].requesters == ()


def test_the_key_of_a_root_that_was_chosen_or_taken_out_is_returned(device: FakeDevice, enrolled: OwnerKeys) -> None:
    assert add_trust_root(device, enrolled, ROOT, clock=now) == samples.ROOT_KEY
    assert add_trust_root(device, enrolled, ROOT, clock=now) == samples.ROOT_KEY, "once more, without a statement"
    assert remove_trust_root(device, enrolled, ROOT, clock=now) == samples.ROOT_KEY


def test_a_package_that_has_ended_is_not_shown_as_one_that_could_be_agreed_to(home: Home) -> None:
    ends_s = samples.NOW_S
    package = samples.package(NEWER, issued_s=ends_s - 100, expires_s=ends_s)
    bundle = bundle_change(home.device, home.keys, package, clock=lambda: ends_s * 1000 + 999).bundle
    assert bundle == NEWER
    with pytest.raises(RequestError, match="has ended"):
        bundle_change(home.device, home.keys, package, clock=lambda: (ends_s + 1) * 1000)


def test_a_bundle_that_was_agreed_to_is_remembered_whatever_the_device_shows_afterwards(home: Home) -> None:
    older = home.device.bundles[samples.ROOT_KEY.id]
    offer_bundle(home.device, home.keys, signed_bundle(version=9), clock=now)
    known = home.keys.memory.device(home.device.key.id)
    assert known is not None
    assert known.bundles[ROOT].version == 9
    home.device.bundles[samples.ROOT_KEY.id] = older
    with pytest.raises(OpenError, match="older trust bundle"):
        trust_state(home.device, home.keys)

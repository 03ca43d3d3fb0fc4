"""Updates in the custodian: an owner's signed choice becomes root's wish, once, and news are told once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from agent.core.home import HomeTopics, discovery, state_of
from agent.core.updates import (
    Offer,
    RefusedReversal,
    ReversalRefusal,
    UpdateOutcome,
    UpdateResult,
    UpdateState,
    UpdateTrouble,
    UpdateWish,
    rollout_delay_ms,
)
from agent.custodian.updates import UpdateFiles, Updates
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.statements import Settings, UpdateChoice, UpdateReversal, read_statement
from tests.custodians import NOW_S, Door, sha256_of, stated

SHA = "ab" * 32


def offer(version: str = "0.2.1", **more: Any) -> Offer:
    return Offer(version=version, sha256=SHA, length=10, released="2027-01-01", notes={"en": "- Better."}, **more)


class House:
    """A door with updates in its custodian, and root's files beside it."""

    def __init__(self, folder: Path) -> None:
        self.files = UpdateFiles(folder / "state.json", folder / "wish.json")
        self.door = Door.enrolled()
        self.news: list[str] = []
        self.knows: dict[str, Any] = {"change": "11" * 16}
        """Fields of root's state that stay."""
        self.now_ms: int | None = NOW_S * 1000
        self.start()

    def start(self, running: str = "0.2.0") -> None:
        self.door.start()
        custodian = self.door.custodian
        state = custodian.custodian_state
        self.updates = Updates(
            self.files, running, "a-device", state.decisions, self.door.journal, state.ledger, custodian.settings,
            self, lambda: self.now_ms, lambda: custodian.enrolments.envelopes,
        )  # fmt: skip
        custodian.statements.choose_update = self.updates.accept
        custodian.statements.reverse_update = self.updates.reverse

    def notify(self, kind: str, text: str, once: str = "") -> None:
        assert text
        self.news.append(kind)

    def root_says(self, **fields: Any) -> None:
        fields = self.knows | fields
        self.files.state.write_bytes(strictjson.encode(UpdateState(v=1, running="0.2.0", **fields)))

    def wish(self) -> UpdateWish | None:
        return strictjson.decode(self.files.wish.read_bytes(), UpdateWish) if self.files.wish.exists() else None

    def entries(self) -> list[dict[str, Any]]:
        return [entry for entry in self.door.entries() if entry["kind"] == "update-chosen"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.door.close()


def test_an_owners_choice_is_in_the_ledger_and_reaches_root(house: House) -> None:
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    wish = house.wish()
    assert wish is not None
    assert (wish.version, wish.sha256) == ("0.2.1", SHA)
    (entry,) = house.entries()
    assert entry["subject"]
    assert house.updates.show()["chosen"] is True


@pytest.mark.parametrize(("version", "sha256"), [("0.2.2", SHA), ("0.2.1", "cd" * 32)])
def test_another_package_than_the_one_on_offer_is_not_chosen(house: House, version: str, sha256: str) -> None:
    house.root_says(offer=offer())
    with pytest.raises(RequestError, match="not on offer"):
        house.door.obey(UpdateChoice(**stated(), version=version, sha256=sha256))
    assert (house.wish(), house.entries()) == (None, [])


def test_a_doorbell_without_updates_says_so(house: House) -> None:
    assert house.updates.show()["looks"] is False
    assert house.updates.status() == {"running": "0.2.0", "offer": None, "security": False, "trouble": None}
    house.door.custodian.statements.choose_update = None
    with pytest.raises(RequestError, match="no updates"):
        house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 5000, b" " * 100_000, b'{"v":2}'])
def test_a_spoiled_state_counts_as_no_updates(house: House, data: bytes) -> None:
    house.files.state.write_bytes(data)
    house.updates.on_time()
    assert house.updates.show()["looks"] is False


def test_a_choice_survives_a_power_cut_until_root_has_carried_it_out(house: House) -> None:
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    wish = house.wish()
    assert wish is not None
    house.files.wish.unlink()
    house.start()
    house.updates.on_time()
    assert house.wish() == wish
    house.files.wish.unlink()
    ended = UpdateOutcome(version="0.2.1", result=UpdateResult.ROLLED_BACK, at_ms=house.now_ms or 0, wish=wish.id)
    house.root_says(offer=offer(), outcome=ended)
    house.updates.on_time()
    assert house.wish() is None, "it failed, so it is not wished for again"
    assert house.updates.show()["chosen"] is False


@pytest.mark.parametrize("wish_of_outcome", ["the owner's", ""])
def test_an_old_yes_does_not_bring_a_version_again_that_was_taken_back(house: House, wish_of_outcome: str) -> None:
    """Without a wish in the outcome, the version was installed by hand after the owner had chosen it."""
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    wish = house.wish()
    assert wish is not None
    of = wish.id if wish_of_outcome else ""
    house.root_says(outcome=UpdateOutcome(version="0.2.1", result=UpdateResult.INSTALLED, at_ms=1, wish=of))
    house.start(running="0.2.1")
    house.updates.on_time()
    assert (house.wish(), house.updates.wish) == (None, None), "it runs, so it is not wished for"
    house.root_says(
        offer=offer(), outcome=UpdateOutcome(version="0.2.1", result=UpdateResult.TAKEN_BACK, at_ms=2, wish=of)
    )
    house.start(running="0.2.0")
    house.updates.on_time()
    assert house.wish() is None
    assert house.updates.show()["chosen"] is False
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    again = house.wish()
    assert again is not None
    assert again.id != wish.id, "a new yes counts"


def test_a_wish_for_a_newer_version_than_the_one_that_runs_stays(house: House) -> None:
    house.root_says(offer=offer("0.2.2"))
    house.door.obey(UpdateChoice(**stated(), version="0.2.2", sha256=SHA))
    wish = house.wish()
    house.start(running="0.2.1")
    house.root_says()
    house.updates.on_time()
    assert house.updates.wish == wish is not None


def test_a_wish_that_root_did_not_hear_of_is_written_again_after_ten_minutes(house: House) -> None:
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    house.updates.on_time()
    written = house.files.wish.stat().st_ino
    house.updates.on_time()
    assert house.files.wish.stat().st_ino == written
    os.utime(house.files.wish, (1, 1))
    house.updates.on_time()
    assert house.files.wish.stat().st_mtime > 1


@pytest.mark.parametrize(
    ("times", "age_s", "is_written"),
    [
        *((1, age_s, is_written) for age_s, is_written in ((0, False), (14, False), (15, True), (-1, True))),
        *((2, age_s, is_written) for age_s, is_written in ((15, False), (599, False), (600, True), (-1, True))),
    ],
)
def test_a_wish_is_written_a_second_time_soon_and_then_every_ten_minutes_or_if_the_clock_was_set_back(
    house: House, monkeypatch: pytest.MonkeyPatch, times: int, age_s: int, is_written: bool
) -> None:
    """Soon, because systemd starts nothing for a wish that comes in the instant in which root's step ends."""
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    if times == 2:
        os.utime(house.files.wish, (1, 1))
        house.updates.on_time()
    os.utime(house.files.wish, (1000, 1000))
    monkeypatch.setattr("agent.custodian.updates.time.time", lambda: 1000.0 + age_s)
    house.updates.on_time()
    assert (house.files.wish.stat().st_mtime != 1000) is is_written


def test_a_wish_that_root_has_begun_to_carry_out_is_not_written_again(house: House) -> None:
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    wish = house.wish()
    assert wish is not None
    house.root_says(
        offer=offer(), outcome=UpdateOutcome(version="0.2.1", result=UpdateResult.INTERRUPTED, at_ms=1, wish=wish.id)
    )
    os.utime(house.files.wish, (1000, 1000))
    house.updates.on_time()
    assert house.files.wish.stat().st_mtime == 1000


def test_an_older_or_equal_version_is_never_on_offer(house: House) -> None:
    house.root_says(offer=offer("0.2.0"))
    assert house.updates.show()["offer"] is None
    house.start(running="0.10.0")
    house.root_says(offer=offer("0.9.9"))
    assert house.updates.show()["offer"] is None


# --- Security updates without asking


def automatic(house: House, updates: Literal["security", "ask"] = "security") -> None:
    house.door.obey(Settings(**stated(), previous=house.door.custodian.settings.sha256, updates=updates))


def test_without_an_owners_setting_no_update_is_chosen(house: House) -> None:
    house.root_says(offer=offer(security=True))
    house.updates.on_time()
    assert house.wish() is None


def test_a_security_update_is_chosen_once_if_an_owner_signed_that_setting(house: House) -> None:
    automatic(house)
    house.root_says(offer=offer(security=True))
    for _ in range(3):
        house.updates.on_time()
    wish = house.wish()
    assert wish is not None
    (entry,) = house.entries()
    assert (entry.get("subject"), entry["reason"]) == (None, "automatic")
    ended = UpdateOutcome(version="0.2.1", result=UpdateResult.ROLLED_BACK, at_ms=1, wish=wish.id)
    house.root_says(offer=offer(security=True), outcome=ended)
    house.files.wish.unlink()
    house.updates.on_time()
    assert (house.wish(), len(house.entries())) == (None, 1), "what failed here waits for an owner"


def test_an_automatic_choice_that_waits_ends_with_the_setting_and_an_owners_stays(house: House) -> None:
    """For example while the disk is full: root would install it weeks after an owner has said no."""
    automatic(house)
    house.root_says(offer=offer(security=True), trouble=UpdateTrouble.DISK)
    house.updates.on_time()
    assert house.wish() is not None
    automatic(house, "ask")
    for _ in range(2):
        house.updates.on_time()
        assert (house.wish(), house.updates.show()["chosen"]) == (None, False)
    house.start()  # nor does a restart bring it again
    house.updates.on_time()
    assert house.wish() is None
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    house.updates.on_time()
    assert house.wish() is not None, "a yes of an owner needs no setting"


def test_a_version_that_was_taken_back_is_no_failure_and_no_automatic_update_brings_it_again(house: House) -> None:
    automatic(house)
    taken = UpdateOutcome(version="0.2.1", result=UpdateResult.TAKEN_BACK, at_ms=1)
    house.root_says(offer=offer(security=True), outcome=taken)
    for _ in range(3):
        house.updates.on_time()
    assert (house.wish(), house.entries()) == (None, [])
    assert "update failed" not in house.news
    assert house.updates.show()["outcome"] == {"version": "0.2.1", "result": "taken back"}
    assert house.updates.last_result() == ("0.2.1", "rolled back"), "a fleet's waves stop"
    house.root_says(offer=offer("0.2.2", security=True), outcome=taken)
    house.updates.on_time()
    wish = house.wish()
    assert wish is not None
    assert wish.version == "0.2.2", "a newer one is another matter"


def test_no_automatic_update_brings_a_version_again_that_was_withdrawn_before_the_last_one(house: House) -> None:
    automatic(house)
    failed = UpdateOutcome(version="0.2.2", result=UpdateResult.ROLLED_BACK, at_ms=1)
    house.root_says(offer=offer("0.2.1", security=True), outcome=failed, withdrawn=("0.2.1", "0.2.2"))
    for _ in range(3):
        house.updates.on_time()
    assert (house.wish(), house.entries()) == (None, [])
    assert house.news == ["update failed"], "and none is announced again"
    assert house.updates.show()["offer"]["withdrawn"] is True
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    assert house.wish() is not None, "an owner may choose it"


def test_a_withdrawn_version_is_not_announced_again_to_owners_who_choose_themselves(house: House) -> None:
    house.root_says(offer=offer("0.2.1"), withdrawn=("0.2.1",))
    house.updates.on_time()
    assert house.news == []
    assert house.updates.show()["offer"]["withdrawn"] is True
    house.root_says(offer=msgspec.structs.replace(offer("0.2.2"), sha256="cd" * 32), withdrawn=("0.2.1",))
    house.updates.on_time()
    assert house.news == ["update"]
    assert house.updates.show()["offer"]["withdrawn"] is False


def test_a_security_update_that_failed_for_no_fault_of_its_own_is_tried_again_each_day_and_told_once(
    house: House,
) -> None:
    """For example, the disk was full for an hour. Otherwise the version would be barred until a newer one comes."""
    automatic(house)
    wishes = list[str]()
    assert house.now_ms is not None
    for change in range(3):
        house.root_says(offer=offer(security=True), **refused(house, wishes), change=f"{change:032x}")
        for _ in range(2):
            house.updates.on_time()
        if wishes:
            house.now_ms += DAY_MS - 1
            house.updates.on_time()
            assert house.updates.wish is not None
            assert house.updates.wish.id == wishes[-1], "within a day it waits"
            house.now_ms += 1
            house.updates.on_time()
        assert house.updates.wish is not None
        wishes.append(house.updates.wish.id)
    assert len(set(wishes)) == len(house.entries()) == 3
    assert house.news == ["update failed"]


def refused(house: House, wishes: list[str]) -> dict[str, Any]:
    if not wishes:
        return {}
    return {
        "outcome": UpdateOutcome(version="0.2.1", result=UpdateResult.REFUSED, at_ms=house.now_ms or 0, wish=wishes[-1])
    }


def test_an_owner_hears_each_time_that_an_update_failed_which_they_chose(house: House) -> None:
    for at_ms in (1, 2):
        ended = UpdateOutcome(version="0.2.1", result=UpdateResult.REFUSED, at_ms=at_ms)
        house.root_says(outcome=ended)
        house.updates.on_time()
    assert house.news == ["update failed"] * 2


@pytest.mark.parametrize("by", ["an owner", "the setting"])
def test_a_wish_that_stands_is_forgotten_if_its_version_fails_by_hand_meanwhile(house: House, by: str) -> None:
    """A person with root installed the same version. Its end bears no id of the wish."""
    house.root_says(offer=offer(security=True))
    if by == "an owner":
        house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    else:
        automatic(house)
        house.updates.on_time()
    assert house.wish() is not None
    begun = UpdateOutcome(version="0.2.1", result=UpdateResult.INTERRUPTED, at_ms=1)
    house.root_says(offer=offer(security=True), outcome=begun, withdrawn=("0.2.1",), change="22" * 16)
    house.updates.on_time()
    assert (house.updates.show()["chosen"], house.updates.wish is None) == (False, False), "it may end well"
    failed = msgspec.structs.replace(begun, result=UpdateResult.ROLLED_BACK)
    house.root_says(offer=offer(security=True), outcome=failed, withdrawn=("0.2.1",), change="33" * 16)
    house.updates.on_time()
    house.updates.on_time()
    assert (house.wish(), house.updates.wish, house.updates.show()["chosen"]) == (None, None, False)
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    house.updates.on_time()
    assert house.wish() is not None, "a yes that comes later counts"


def test_a_wish_that_stands_is_kept_if_an_installation_by_hand_says_nothing_of_its_version(house: House) -> None:
    house.root_says(offer=offer())
    house.door.obey(UpdateChoice(**stated(), version="0.2.1", sha256=SHA))
    wish = house.wish()
    for result, withdrawn in ((UpdateResult.INTERRUPTED, ("0.2.1",)), (UpdateResult.REFUSED, ())):
        ended = UpdateOutcome(version="0.2.1", result=result, at_ms=1)
        house.root_says(offer=offer(), outcome=ended, withdrawn=withdrawn, change="22" * 16)
        house.updates.on_time()
    assert house.wish() == wish is not None
    assert house.updates.show()["chosen"] is True


def test_other_updates_wait_for_an_owner_with_that_setting_too(house: House) -> None:
    automatic(house)
    house.root_says(offer=offer())
    house.updates.on_time()
    assert house.wish() is None
    assert house.news == ["update"]


def test_doorbells_spread_a_security_update_and_without_the_time_none_starts(house: House) -> None:
    automatic(house)
    spread = offer(security=True, rollout_hours=48)
    house.root_says(offer=spread)
    released_ms = 1_798_761_600_000
    house.now_ms = None
    house.updates.on_time()
    assert house.wish() is None
    house.now_ms = released_ms + rollout_delay_ms("a-device", spread) - 1
    house.updates.on_time()
    assert house.wish() is None
    house.now_ms += 1
    house.updates.on_time()
    assert house.wish() is not None
    delays = {rollout_delay_ms(f"device {number}", spread) // 3_600_000 for number in range(500)}
    assert delays == set(range(48))


def test_the_status_and_home_assistant_name_the_version_on_offer(house: House) -> None:
    assert shown_at_home(house) == {"installed_version": "0.2.0", "latest_version": "0.2.0"}
    house.root_says(offer=offer(security=True), trouble=UpdateTrouble.NETWORK)
    assert house.updates.status() == {"running": "0.2.0", "offer": "0.2.1", "security": True, "trouble": "network"}
    assert shown_at_home(house) == {"installed_version": "0.2.0", "latest_version": "0.2.1"}
    entity = discovery(HomeTopics("0" * 16), "front-door", "1", "")["components"]["update"]
    assert "command_topic" not in entity


def test_an_owner_is_shown_all_that_root_says_of_updates(house: House) -> None:
    nothing = {
        "running": "0.2.0", "looks": False, "automatic": False, "checked_ms": None, "trouble": None, "offer": None,
        "chosen": False, "outcome": None, "back": None,
    }  # fmt: skip
    assert house.updates.show() == nothing
    house.root_says(checked_ms=7)
    assert house.updates.show() == {**nothing, "looks": True, "checked_ms": 7}
    assert house.updates.status()["trouble"] is None
    ended = UpdateOutcome(version="0.1.9", result=UpdateResult.ROLLED_BACK, at_ms=5, wish="ef" * 16)
    house.root_says(checked_ms=7, trouble=UpdateTrouble.NETWORK, offer=offer(security=True), outcome=ended)
    automatic(house)
    assert house.updates.show() == {
        "running": "0.2.0", "looks": True, "automatic": True, "checked_ms": 7, "trouble": "network",
        "offer": {**msgspec.to_builtins(offer(security=True)), "withdrawn": False}, "chosen": False,
        "outcome": {"version": "0.1.9", "result": "rolled back"}, "back": None,
    }  # fmt: skip


def shown_at_home(house: House) -> Any:
    status = {
        "recorder": {"state": "watching"}, "vault": {"stored_bytes": 0, "segments": 0}, "link": {"link": "off"},
        "clock": "synced", "update": house.updates.status(),
    }  # fmt: skip
    return state_of(status)["update"]


# --- News


def test_each_news_is_told_once_also_over_restarts(house: House) -> None:
    house.root_says(offer=offer())
    for _ in range(2):
        house.updates.on_time()
        house.start()
    assert house.news == ["update"]
    house.root_says(offer=offer(security=True, version="0.2.1"))
    house.updates.on_time()
    failed = UpdateOutcome(version="0.2.1", result=UpdateResult.ROLLED_BACK, at_ms=5, wish="ef" * 16)
    house.root_says(offer=offer(), outcome=failed, trouble=UpdateTrouble.EXPIRED)
    house.updates.on_time()
    house.updates.on_time()
    assert house.news == ["update", "update failed", "update news old"]
    house.start(running="0.2.1")
    house.updates.on_time()
    assert house.news[3:] == ["updated"]


DAY_MS = 86_400_000


@pytest.mark.parametrize("trouble", [UpdateTrouble.NETWORK, UpdateTrouble.REFUSED, UpdateTrouble.DISK, None])
def test_who_keeps_all_news_of_updates_away_is_told_after_a_week(house: House, trouble: UpdateTrouble | None) -> None:
    """A server that is not reached never shows an old date, and an updater that was taken over never reports one."""
    assert house.now_ms is not None
    heard_ms = house.now_ms
    house.root_says(checked_ms=heard_ms, trouble=trouble)
    for _ in range(7):
        house.updates.on_time()
        house.now_ms += DAY_MS
    assert house.news == []
    house.now_ms += 1
    house.updates.on_time()
    house.updates.on_time()
    assert house.news == ["update news old"]
    house.root_says(checked_ms=house.now_ms)
    house.updates.on_time()
    house.root_says(checked_ms=house.now_ms, trouble=trouble)
    house.now_ms += 7 * DAY_MS + 1
    house.updates.on_time()
    assert house.news == ["update news old"] * 2


def test_a_doorbell_that_never_heard_of_updates_says_so_after_a_week(house: House) -> None:
    assert house.now_ms is not None
    house.root_says(trouble=UpdateTrouble.NETWORK)
    for _ in range(7):
        house.updates.on_time()
        house.start()
        house.updates.on_time()
        house.now_ms += DAY_MS + 1
    assert house.news == []
    house.updates.on_time()
    assert house.news == ["update news old"]


def test_a_doorbell_from_a_drawer_has_a_day_to_hear_the_news(house: House) -> None:
    assert house.now_ms is not None
    house.root_says(checked_ms=house.now_ms - 100 * DAY_MS)
    house.updates.on_time()
    house.now_ms += DAY_MS // 2
    house.updates.on_time()
    assert house.news == []
    house.now_ms = None
    house.updates.on_time()
    assert house.news == []


def test_a_doorbell_from_a_drawer_is_told_of_after_its_first_day(house: House) -> None:
    assert house.now_ms is not None
    house.root_says(checked_ms=house.now_ms - 100 * DAY_MS)
    house.updates.on_time()
    house.now_ms += DAY_MS
    house.updates.on_time()
    assert house.news == []
    house.now_ms += 1
    house.updates.on_time()
    assert house.news == ["update news old"]


def test_the_journal_has_what_owners_were_told(house: House) -> None:
    def told() -> Any:
        house.updates.on_time()
        return msgspec.json.decode(house.door.journal.get("update-told") or b"")

    assert house.now_ms is not None
    first = {
        "running": "0.2.0",
        "offer": "",
        "outcome_ms": 0,
        "expired": False,
        "since_ms": house.now_ms,
        "refused": "",
        "failed": "",
    }
    house.root_says()
    assert told() == first
    house.now_ms += 1000
    house.root_says(offer=offer())
    assert told() == {**first, "offer": SHA}
    ended = UpdateOutcome(version="0.2.1", result=UpdateResult.ROLLED_BACK, at_ms=5, wish="ef" * 16)
    house.root_says(outcome=ended, trouble=UpdateTrouble.EXPIRED)
    first = {**first, "offer": SHA, "outcome_ms": 5, "failed": "0.2.1"}
    assert told() == {**first, "expired": True}
    house.start(running="0.3.0")
    assert told() == {**first, "running": "0.3.0", "expired": True}
    house.root_says()
    assert told() == {**first, "running": "0.3.0"}


def test_an_installation_that_runs_is_no_failure_and_one_that_a_power_cut_ended_is(house: House) -> None:
    begun = UpdateOutcome(version="0.2.1", result=UpdateResult.INTERRUPTED, at_ms=NOW_S * 1000, wish="ef" * 16)
    house.root_says(outcome=begun)
    house.updates.on_time()
    assert house.news == []
    house.now_ms = NOW_S * 1000 + 30 * 60_000
    house.updates.on_time()
    assert house.news == []
    house.now_ms += 1
    house.updates.on_time()
    assert house.news == ["update failed"]


# --- The way back to the version before


@pytest.fixture
def house_before(house: House, tmp_path: Path) -> House:
    """Version 0.2.0 runs after 0.1.9."""
    previous = tmp_path / "previous"
    previous.symlink_to("versions/0.1.9-aa")
    house.files = UpdateFiles(house.files.state, house.files.wish, previous)
    house.start()
    house.knows = {
        "owners": hashlib.sha256(read_statement(house.door.custodian.enrolments.envelopes[0]).payload).hexdigest()
    }
    return house


CHANGE = "cd" * 16


def reversal(**changes: Any) -> UpdateReversal:
    return UpdateReversal(**stated(), **{"version": "0.2.0", "before": "0.1.9", "change": CHANGE, **changes})


def test_an_owners_way_back_is_in_the_ledger_and_reaches_root_as_the_owner_signed_it(house_before: House) -> None:
    house_before.root_says(change=CHANGE)
    back = house_before.updates.show()["back"]
    assert back == {"version": "0.1.9", "change": CHANGE, "refused": None, "chosen": False, "ended": None}
    house_before.door.obey(reversal())
    data = house_before.files.back.read_bytes()
    assert strictjson.decode(read_statement(data).payload, UpdateReversal).before == "0.1.9"
    assert house_before.files.owners.read_bytes() == house_before.door.custodian.enrolments.envelopes[0]
    assert [each["kind"] for each in house_before.door.entries()].count("update-reversed") == 1
    assert house_before.updates.show()["back"]["chosen"] is True
    house_before.updates.on_time()
    assert house_before.files.back.exists(), "root has not taken it yet"
    house_before.root_says(change="00" * 16)
    house_before.updates.on_time()
    assert not house_before.files.back.exists(), "root has"
    assert house_before.updates.show()["back"]["chosen"] is False


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        ({"change": CHANGE}, {"before": "0.1.8"}),
        ({"change": CHANGE}, {"version": "0.2.1"}),
        ({"change": CHANGE}, {"change": "00" * 16}),
        ({"change": CHANGE, "floor": "0.2.0"}, {}),
        ({"change": CHANGE, "owners": "00" * 32}, {}),
        ({"change": CHANGE, "owners": None}, {}),
        ({}, {}),
    ],
)
def test_a_way_back_that_is_not_on_the_page_is_refused(
    house_before: House, state: dict[str, Any], changes: dict[str, Any]
) -> None:
    house_before.root_says(**state)
    with pytest.raises(RequestError, match="not the one to go back to"):
        house_before.door.obey(reversal(**changes))
    assert not house_before.files.back.exists()


@pytest.mark.parametrize("off_ms", [None, 3_700_000, -3_700_000])
def test_clocks_that_differ_too_much_are_told_at_once_because_root_would_refuse_without_a_word(
    house_before: House, off_ms: int | None
) -> None:
    house_before.root_says(change=CHANGE)
    house_before.now_ms = None if off_ms is None else NOW_S * 1000 + off_ms
    told = "does not know the time" if off_ms is None else "clocks of the doorbell"
    with pytest.raises(RequestError, match=told):
        house_before.door.obey(reversal())
    assert not house_before.files.back.exists()


def test_owners_are_told_why_only_root_may_go_back(house_before: House) -> None:
    for fields, reason in (({"floor": "0.2.0"}, "fault"), ({"owners": "00" * 32}, "owners"), ({}, None)):
        house_before.root_says(change=CHANGE, **fields)
        assert house_before.updates.show()["back"]["refused"] == reason


@pytest.mark.parametrize("reason", ReversalRefusal)
def test_owners_are_told_why_root_did_not_go_back(house_before: House, reason: ReversalRefusal) -> None:
    house_before.root_says(change=CHANGE)
    house_before.door.obey(reversal())
    data = house_before.files.back.read_bytes()
    earlier = RefusedReversal(reason=reason, statement="00" * 32)
    house_before.root_says(change=CHANGE, refused=earlier)
    back = house_before.updates.show()["back"]
    assert (back["chosen"], back["ended"]) == (True, None), "root has not seen the newest one"
    house_before.root_says(
        change=CHANGE, refused=RefusedReversal(reason=reason, statement=hashlib.sha256(data).hexdigest())
    )
    back = house_before.updates.show()["back"]
    assert (back["chosen"], back["ended"]) == (False, reason.value)
    house_before.updates.on_time()
    house_before.updates.on_time()
    assert house_before.news == ["no way back"]
    assert not house_before.files.back.exists(), "root would refuse it again"
    house_before.start()
    house_before.updates.on_time()
    assert house_before.updates.show()["back"]["ended"] == reason.value, "also after a power cut"
    assert house_before.news == ["no way back"]
    house_before.root_says(change="00" * 16)
    assert house_before.updates.show()["back"]["ended"] is None
    house_before.root_says(change="00" * 16, refused=RefusedReversal(reason=reason, statement="ee" * 32))
    house_before.updates.on_time()
    assert house_before.news == ["no way back"] * 2, "another one"


def test_root_is_shown_each_list_of_owners_also_after_a_boot(house_before: House) -> None:
    house_before.root_says(change=CHANGE)
    house_before.updates.on_time()
    house_before.files.owners.unlink()
    house_before.updates.on_time()
    assert house_before.files.owners.exists()
    current = house_before.door.custodian.enrolments.current
    house_before.door.enrol(epoch=2, previous=sha256_of(current))  # type: ignore[arg-type]
    house_before.updates.on_time()
    assert house_before.files.owners.read_bytes().count(b"\n") == 1


def test_a_newer_version_beside_is_no_way_back(house_before: House, tmp_path: Path) -> None:
    house_before.root_says(change=CHANGE)
    (tmp_path / "previous").unlink()
    (tmp_path / "previous").symlink_to("versions/0.2.1-aa")
    assert house_before.updates.show()["back"] is None
    (tmp_path / "previous").unlink()
    assert house_before.updates.show()["back"] is None


def test_a_way_back_that_could_not_be_written_is_written_later(house_before: House) -> None:
    house_before.root_says(change=CHANGE)
    for path in (house_before.files.back, house_before.files.owners):
        path.mkdir()  # as a full disk does
    house_before.door.obey(reversal())
    for path in (house_before.files.back, house_before.files.owners):
        path.rmdir()
    house_before.updates.on_time()
    assert house_before.files.back.is_file()
    assert house_before.files.owners.is_file()


@pytest.mark.parametrize("name", ["back", "owners"])
def test_a_way_back_and_a_list_of_owners_are_written_a_second_time_soon_and_then_every_ten_minutes(
    house_before: House, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """systemd misses what is written in the instant in which root's step ends, whichever file it is."""
    house_before.root_says(change=CHANGE)
    current = house_before.door.custodian.enrolments.current
    house_before.door.enrol(epoch=2, previous=sha256_of(current))  # type: ignore[arg-type]
    house_before.updates.on_time()
    house_before.door.obey(reversal())
    path: Path = getattr(house_before.files, name)

    def is_written_after(age_s: int) -> bool:
        os.utime(path, (1000, 1000))
        monkeypatch.setattr("agent.custodian.updates.time.time", lambda: 1000.0 + age_s)
        house_before.updates.on_time()
        return path.stat().st_mtime != 1000

    gone = list[str]()
    real = Path.unlink

    def unlink(each: Path, missing_ok: bool = False) -> None:
        gone.append(each.name)
        real(each, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    assert [is_written_after(age_s) for age_s in (14, 15, 16, 599, 600, 599)] == [
        False, True, False, False, True, False,
    ]  # fmt: skip
    # A booted systemd starts nothing for a file that takes the place of one (tests/install/late_choice.py).
    assert gone.count(path.name) == 2, "it is away for a moment, each time"


def test_a_new_list_of_owners_that_could_not_be_written_is_written_later(house_before: House) -> None:
    house_before.root_says(change=CHANGE)
    house_before.updates.on_time()
    house_before.files.owners.unlink()
    house_before.files.owners.mkdir()
    current = house_before.door.custodian.enrolments.current
    house_before.door.enrol(epoch=2, previous=sha256_of(current))  # type: ignore[arg-type]
    house_before.updates.on_time()
    house_before.files.owners.rmdir()
    house_before.files.owners.write_bytes(house_before.door.custodian.enrolments.envelopes[0])
    house_before.updates.on_time()
    assert house_before.files.owners.read_bytes().count(b"\n") == 1


def test_a_list_of_owners_that_root_did_not_hear_of_is_written_again_until_root_believes_it(
    house_before: House,
) -> None:
    """systemd does not tell root's step of a change that happens while it runs. An owner who left would stay one."""

    def is_shown_again() -> bool:
        os.utime(house_before.files.owners, (1, 1))
        house_before.updates.on_time()
        return house_before.files.owners.stat().st_mtime > 1

    house_before.root_says(change=CHANGE)
    house_before.updates.on_time()
    assert not is_shown_again(), "root believes it"
    current = house_before.door.custodian.enrolments.current
    house_before.door.enrol(epoch=2, previous=sha256_of(current))  # type: ignore[arg-type]
    house_before.updates.on_time()
    assert is_shown_again(), "root knows the list before"
    house_before.root_says(change=CHANGE, owners="00" * 32)
    assert not is_shown_again(), "root knows others"


def test_a_doorbell_without_an_owner_shows_root_none_from_before_a_reset(tmp_path: Path) -> None:
    files = UpdateFiles(tmp_path / "state.json", tmp_path / "wish.json")
    files.owners.write_bytes(b"the former owner's")
    door = Door()
    state = door.custodian.custodian_state
    Updates(
        files, "0.2.0", "a-device", state.decisions, door.journal, state.ledger, door.custodian.settings,
        None, lambda: None, lambda: door.custodian.enrolments.envelopes,  # type: ignore[arg-type]
    ).on_time()  # fmt: skip
    assert not files.owners.exists()
    door.close()

"""Set-up by the camera, as the custodian sees it: one code at a time, each once, and none once there is an owner."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.core.setup_code import CODE_LIFE_S, SetupCode, parse_setup_code
from agent.core.setup_state import SetupState
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.custodian.camera_setup import CameraSetup
from agent.custodian.page.sessions import Sessions, TooManyTriesError
from agent.errors import RequestError
from agent.platform.system_clock import SystemEntropy

MINE = SetupCode(b"m" * 16, "Huis", "correct horse", "front-door", "NL")
STRANGERS = SetupCode(b"s" * 16, "elsewhere", "12345678", "front-door")
DER = b"the authority"


@dataclass
class House:
    """A runtime folder, a boot clock, and whether there is an owner."""

    run: Path
    boot_s: int = 100
    owner: bool = False
    setup: CameraSetup = field(init=False)

    def __post_init__(self) -> None:
        for name in ("setup", "network"):
            (self.run / name).mkdir()
        self.restart()

    def restart(self) -> None:
        self.setup = CameraSetup(self.run, self, lambda: self.owner)

    def now(self) -> ClockReading:
        return ClockReading(BootNs(self.boot_s * NS_PER_S), UtcNs(0), ClockQuality.UNKNOWN)

    def root_says(self, code: SetupCode, state: SetupState) -> None:
        (self.run / "setup" / "code").unlink()
        (self.run / "network" / "outcome").write_text(f"{code.id} {state.value}\n")

    def joined(self, code: SetupCode = MINE) -> None:
        assert self.setup.take(code.text()) is SetupState.JOINING
        self.root_says(code, SetupState.JOINED)
        assert self.setup.take("") is SetupState.JOINED

    @property
    def wish(self) -> str | None:
        path = self.run / "setup" / "code"
        return path.read_text() if path.exists() else None


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_code_goes_to_root_as_it_was_read_and_only_its_secret_stays(house: House) -> None:
    assert house.setup.take("") is SetupState.WAITING
    assert house.setup.take(MINE.text()) is SetupState.JOINING
    assert house.wish == MINE.text()
    kept = parse_setup_code((house.run / "setup" / "taken").read_text())
    assert (kept.secret, kept.ssid, kept.password) == (MINE.secret, "", "")
    for name in ("code", "taken"):
        assert (house.run / "setup" / name).stat().st_mode & 0o777 == 0o600


def test_the_board_s_own_light_can_follow_the_set_up(house: House) -> None:
    """A card has no status LED: without this file its owner would see neither a wrong password nor a success."""
    shown = house.run / "setup" / "state"
    assert house.setup.take(MINE.text()) is SetupState.JOINING
    assert shown.read_text() == "joining\n"
    house.root_says(MINE, SetupState.WRONG_PASSWORD)
    house.setup.take("")
    assert shown.read_text() == "wrong-password\n"
    shown.unlink()
    shown.mkdir()  # a light that cannot be told holds up no set-up
    again = SetupCode(b"n" * 16, "Huis", "correct horse", "front-door", "NL")
    house.joined(again)


def test_other_texts_and_other_qr_codes_change_nothing(house: House) -> None:
    for text in ("https://example.org", "DW1:", MINE.text()[:-2], "x" * 1000):
        assert house.setup.take(text) is SetupState.WAITING
    assert house.wish is None


def test_a_strangers_code_is_ignored_while_the_owners_is_tried_and_while_it_may_be_used(house: House) -> None:
    house.setup.take(MINE.text())
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINING
    assert house.wish == MINE.text()
    house.root_says(MINE, SetupState.JOINED)
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINED
    assert house.wish is None
    assert house.setup.lets_in(STRANGERS.pairing_code) is False
    assert house.setup.lets_in(MINE.pairing_code) is True
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINED, "the owner now makes keys"


@pytest.mark.parametrize("state", [SetupState.WRONG_PASSWORD, SetupState.NO_NETWORK, SetupState.NO_ADDRESS])
def test_after_a_failure_the_next_code_is_read_and_the_old_one_is_not(house: House, state: SetupState) -> None:
    house.setup.take(MINE.text())
    house.root_says(MINE, state)
    assert house.setup.take("") is state
    assert house.setup.take(MINE.text()) is state, "the same code again, still on the screen"
    assert house.wish is None
    corrected = SetupCode(b"c" * 16, "Huis", "the right one", "front-door")
    assert house.setup.take(corrected.text()) is SetupState.JOINING
    house.root_says(corrected, SetupState.JOINED)
    assert house.setup.lets_in(MINE.pairing_code) is False
    assert house.setup.lets_in(corrected.pairing_code) is True


def test_a_code_lets_one_browser_in_once(house: House) -> None:
    house.joined()
    assert house.setup.lets_in(MINE.pairing_code) is True
    assert house.setup.lets_in(MINE.pairing_code) is None
    house.restart()
    assert house.setup.lets_in(MINE.pairing_code) is None


def test_before_the_network_is_joined_no_code_can_be_guessed(house: House) -> None:
    assert house.setup.lets_in(MINE.pairing_code) is None
    house.setup.take(MINE.text())
    assert house.setup.lets_in(MINE.pairing_code) is None
    assert house.setup.proof(DER) is None


def test_a_code_ends_after_a_quarter_of_an_hour_of_the_boot_clock(house: House) -> None:
    """An offline doorbell has no date. When it gets one, its clock jumps, and the code must outlive that."""
    house.joined()
    house.boot_s += CODE_LIFE_S
    assert house.setup.proof(DER) == MINE.proof(DER)
    house.boot_s += 1
    assert house.setup.take("") is SetupState.WAITING, "told at once"
    assert house.setup.lets_in(MINE.pairing_code) is None
    assert house.setup.proof(DER) is None
    assert house.setup.take(MINE.text()) is SetupState.WAITING, "an old code"
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINING


def test_a_custodian_that_was_restarted_under_its_new_name_goes_on(house: House) -> None:
    house.joined()
    house.restart()
    assert house.setup.take("") is SetupState.JOINED
    assert house.setup.proof(DER) == MINE.proof(DER)
    assert house.setup.lets_in(MINE.pairing_code) is True


@pytest.mark.parametrize("joined", [False, True])
def test_a_code_that_was_tried_before_a_restart_is_not_tried_again_when_it_has_failed(
    house: House, joined: bool
) -> None:
    house.joined() if joined else house.setup.take(MINE.text())
    house.restart()
    if not joined:
        house.root_says(MINE, SetupState.WRONG_PASSWORD)
    house.boot_s += CODE_LIFE_S + 1
    ended = SetupState.WAITING if joined else SetupState.WRONG_PASSWORD
    for _ in range(2):
        assert house.setup.take(MINE.text()) is ended
        assert house.wish is None
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINING


def test_a_root_that_never_answers_ends_in_a_failure(house: House) -> None:
    house.setup.take(MINE.text())
    house.boot_s += 180
    assert house.setup.take("") is SetupState.JOINING
    house.boot_s += 1
    assert house.setup.take("") is SetupState.FAILED
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINING


def test_an_answer_for_another_code_or_without_sense_does_not_count(house: House) -> None:
    house.setup.take(MINE.text())
    outcome = house.run / "network" / "outcome"
    for text in (f"{STRANGERS.id} joined\n", f"{MINE.id} well\n", "", "\xff", f"{MINE.id}"):
        outcome.write_bytes(text.encode("latin-1"))
        assert house.setup.take("") is SetupState.JOINING


def test_with_an_owner_every_code_is_ignored_and_root_is_told_once(house: House) -> None:
    house.joined()
    house.setup.on_time()
    assert not (house.run / "setup" / "owned").exists()
    house.owner = True
    assert house.setup.take(STRANGERS.text()) is SetupState.OFF
    assert house.setup.lets_in(MINE.pairing_code) is None
    assert house.setup.proof(DER) is None
    house.setup.on_time()
    assert (house.run / "setup" / "owned").read_text() == "owned\n"
    assert not (house.run / "setup" / "taken").exists()
    (house.run / "setup" / "owned").unlink()  # root has taken note
    house.setup.on_time()
    assert not (house.run / "setup" / "owned").exists()
    assert house.wish is None


def test_a_folder_that_takes_no_file_is_a_failure_that_the_light_shows(house: House) -> None:
    (house.run / "setup").rmdir()
    assert house.setup.take(MINE.text()) is SetupState.FAILED
    house.owner = True
    house.setup.on_time()  # tried again next time
    (house.run / "setup").mkdir()
    house.setup.on_time()
    assert (house.run / "setup" / "owned").exists()


def test_a_flood_of_codes_ends(house: House) -> None:
    taken = 0
    for number in range(300):
        code = SetupCode(number.to_bytes(16, "big"), "Huis", "correct horse", "front-door")
        if house.setup.take(code.text()) is SetupState.JOINING:
            taken += 1
            house.root_says(code, SetupState.NO_NETWORK)
            house.setup.take("")
    assert taken == 256


def test_the_page_lets_in_with_the_code_of_the_camera_and_makes_a_guesser_wait(house: House, tmp_path: Path) -> None:
    house.joined()
    sessions = Sessions(tmp_path / "page.sqlite", SystemEntropy(), lambda: 0, house.setup.lets_in)
    try:
        for _ in range(6):
            with pytest.raises(RequestError):
                sessions.pair("0000-000-000", "192.168.1.66", "Browser")
        with pytest.raises(TooManyTriesError):
            sessions.pair(MINE.pairing_code, "192.168.1.66", "Browser")
        token = sessions.pair(MINE.pairing_code, "192.168.1.20", "Browser")
        assert sessions.session(token) is not None
        with pytest.raises(RequestError):
            sessions.pair(MINE.pairing_code, "192.168.1.21", "Browser")
    finally:
        sessions.close()


def on_the_card(house: House, code: SetupCode) -> None:
    (house.run / "network" / "card").write_text(code.text())


@pytest.mark.parametrize("owner", [False, True])
def test_a_code_on_the_memory_card_lets_one_browser_in_also_with_an_owner(house: House, owner: bool) -> None:
    """For a lost phone: the browser then still needs the recovery kit. The card is the doorbell."""
    house.owner = owner
    assert house.setup.lets_in(MINE.pairing_code) is None
    on_the_card(house, MINE)
    assert house.setup.proof(DER) == MINE.proof(DER)
    assert house.setup.lets_in(STRANGERS.pairing_code) is False
    assert house.setup.lets_in(MINE.pairing_code) is True
    assert house.setup.lets_in(MINE.pairing_code) is None
    house.restart()
    assert house.setup.lets_in(MINE.pairing_code) is None, "used, also after a restart of the custodian"


def test_a_code_on_the_card_lets_one_browser_in_also_if_the_folder_takes_no_note_of_it(house: House) -> None:
    on_the_card(house, MINE)
    assert house.setup.proof(DER) == MINE.proof(DER)
    shutil.rmtree(house.run / "setup")
    assert house.setup.lets_in(MINE.pairing_code) is True
    assert house.setup.lets_in(MINE.pairing_code) is None
    house.boot_s += CODE_LIFE_S + 1
    assert house.setup.take("") is SetupState.WAITING
    assert house.setup.lets_in(MINE.pairing_code) is None


def test_a_code_on_the_card_ends_after_a_quarter_of_an_hour_and_opens_no_way_for_qr_codes(house: House) -> None:
    house.owner = True
    on_the_card(house, MINE)
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINED
    assert house.wish is None
    house.boot_s += CODE_LIFE_S + 1
    assert house.setup.take("") is SetupState.OFF, "told at once"
    assert house.setup.lets_in(MINE.pairing_code) is None
    assert house.setup.take(STRANGERS.text()) is SetupState.OFF
    assert house.wish is None


def card_fails(house: House, state: str, of: str = MINE.id) -> None:
    (house.run / "network" / "card-outcome").write_text(f"{of} {state}\n")


def test_the_light_shows_why_the_code_on_the_card_did_not_join_and_the_camera_looks_for_another(house: House) -> None:
    card_fails(house, "wrong-password")
    assert house.setup.take("") is SetupState.WRONG_PASSWORD
    assert (house.run / "setup" / "state").read_text() == "wrong-password\n"
    card_fails(house, "no-network")
    assert house.setup.take("") is SetupState.NO_NETWORK
    house.joined(STRANGERS)
    house.boot_s += CODE_LIFE_S + 1
    assert house.setup.take("") is SetupState.WAITING, "the old failure is told no second time"


@pytest.mark.parametrize("said", ["joined", "joining", "off", "", "elsewhere"])
def test_the_card_s_failure_is_a_failure_and_nothing_else(house: House, said: str) -> None:
    card_fails(house, said)
    assert house.setup.take("") is SetupState.WAITING


def test_with_an_owner_the_light_says_nothing_of_the_card(house: House) -> None:
    house.owner = True
    card_fails(house, "wrong-password")
    assert house.setup.take("") is SetupState.OFF


def test_a_file_of_the_card_without_sense_is_ignored(house: House) -> None:
    house.owner = True
    for data in (b"", b"DW1:", b"\xff", MINE.text()[:-1].encode()):
        (house.run / "network" / "card").write_bytes(data)
        assert house.setup.take("") is SetupState.OFF


@pytest.mark.parametrize("on_card", [False, True], ids=["QR code", "card"])
def test_a_restart_of_the_custodian_gives_a_code_no_second_quarter_of_an_hour(house: House, on_card: bool) -> None:
    """Its recorder can make it restart, whenever it likes, and a code that has ended would let its maker in again."""
    if on_card:
        house.owner = True
        on_the_card(house, MINE)
        assert house.setup.proof(DER) == MINE.proof(DER)
    else:
        house.joined()
    house.boot_s += CODE_LIFE_S - 10
    house.restart()
    assert house.setup.proof(DER) == MINE.proof(DER), "the time that is left"
    house.boot_s += 11
    assert house.setup.lets_in(MINE.pairing_code) is None
    house.restart()
    assert house.setup.lets_in(MINE.pairing_code) is None
    assert house.setup.proof(DER) is None


def test_a_code_that_was_used_is_not_read_again_after_a_restart_of_the_custodian(house: House) -> None:
    house.joined()
    assert house.setup.lets_in(MINE.pairing_code) is True
    house.boot_s += CODE_LIFE_S + 1
    house.restart()
    assert house.setup.take(MINE.text()) is SetupState.WAITING
    assert house.wish is None
    assert house.setup.take(STRANGERS.text()) is SetupState.JOINING

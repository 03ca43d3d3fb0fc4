"""Tokens of a broker: each counts once, also after a power cut, with a wrong clock, and for many at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.clients.broker.enrolment_tokens import EnrolmentTokens
from agent.errors import ConfigurationError, RequestError, StorageError

DEVICE, OTHER = "a1" * 8, "b2" * 8
KEY, OTHER_KEY = "0" * 64, "1" * 64
DAY_S = 86_400


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> EnrolmentTokens:
    return EnrolmentTokens(tmp_path, clock)


def test_a_token_lets_one_doorbell_in_and_the_same_one_again(tokens: EnrolmentTokens) -> None:
    token = tokens.add("mill-lane-1", doorbells=1, days=1)
    assert tokens.has_open()
    assert [tokens.redeem(token, DEVICE, KEY) for _ in range(3)] == ["mill-lane-1"] * 3
    assert not tokens.has_open()
    with pytest.raises(RequestError, match="has been used"):
        tokens.redeem(token, OTHER, OTHER_KEY)
    with pytest.raises(RequestError, match="another TLS key"):
        tokens.redeem(token, DEVICE, OTHER_KEY)
    (kept,) = tokens.list()
    assert [each.device for each in kept.used] == [DEVICE]


def test_a_token_for_several_counts_each_doorbell_once(tokens: EnrolmentTokens) -> None:
    token = tokens.add("lane", doorbells=3, days=1)
    for number in (1, 1, 2, 3, 2):
        tokens.redeem(token, f"{number:016x}", f"{number:064x}")
    with pytest.raises(RequestError, match="has been used"):
        tokens.redeem(token, DEVICE, KEY)


def test_an_expired_token_lets_nobody_in_not_even_again(tokens: EnrolmentTokens, clock: Clock) -> None:
    token = tokens.add("a", doorbells=2, days=1)
    tokens.redeem(token, DEVICE, KEY)
    clock.now += DAY_S
    for device in (DEVICE, OTHER):
        with pytest.raises(RequestError, match="expired"):
            tokens.redeem(token, device, KEY)
    assert not tokens.has_open()


def test_an_unknown_and_a_removed_token_are_refused(tokens: EnrolmentTokens) -> None:
    token = tokens.add("a", doorbells=1, days=1)
    for wrong in ("", "dwt_", token[:-1], f"{token}A", "../lock", "dwt_" + "A" * 27):
        with pytest.raises(RequestError, match="does not know"):
            tokens.redeem(wrong, DEVICE, KEY)
    tokens.remove("a")
    with pytest.raises(RequestError, match="does not know"):
        tokens.redeem(token, DEVICE, KEY)
    with pytest.raises(ConfigurationError, match="no token with the name 'a'"):
        tokens.remove("a")


def test_a_name_names_one_token_and_is_of_the_fleets_form(tokens: EnrolmentTokens) -> None:
    tokens.add("a", doorbells=1, days=1)
    with pytest.raises(ConfigurationError, match=r"'a' already\. .*remove-token a"):
        tokens.add("a", doorbells=1, days=1)
    for wrong in ("", "A", "../a", "a b", "-a", "a" * 41):
        with pytest.raises(ConfigurationError, match="name"):
            tokens.add(wrong, doorbells=1, days=1)
    assert [each.name for each in tokens.list()] == ["a"]


def test_no_file_holds_a_token_and_others_cannot_read_them(tokens: EnrolmentTokens, tmp_path: Path) -> None:
    token = tokens.add("a", doorbells=1, days=1)
    tokens.redeem(token, DEVICE, KEY)
    for path in (tmp_path / "tokens").iterdir():
        assert token.removeprefix("dwt_") not in path.name + path.read_text()
        assert path.stat().st_mode & 0o077 == 0


def test_a_token_is_bound_on_the_disk_before_the_doorbell_is_let_in(tokens: EnrolmentTokens, tmp_path: Path) -> None:
    """After a power cut another process reads what counts."""
    token = tokens.add("a", doorbells=1, days=1)
    tokens.redeem(token, DEVICE, KEY)
    with pytest.raises(RequestError, match="has been used"):
        EnrolmentTokens(tmp_path, Clock()).redeem(token, OTHER, OTHER_KEY)


def test_of_many_at_once_exactly_the_counted_number_gets_in(tokens: EnrolmentTokens) -> None:
    token = tokens.add("a", doorbells=5, days=1)
    admitted, refused = list[str](), list[str]()

    def ask(number: int) -> None:
        try:
            tokens.redeem(token, f"{number:016x}", f"{number:064x}")
            admitted.append(str(number))
        except RequestError:
            refused.append(str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(admitted), len(refused)) == (5, 15)


def test_a_damaged_file_is_named_with_its_remedy(tokens: EnrolmentTokens, tmp_path: Path) -> None:
    tokens.add("a", doorbells=1, days=1)
    (path,) = (tmp_path / "tokens").glob("*.json")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError, match=str(path)) as caught:
        tokens.list()
    assert caught.value.remedy == "Remove the file, and make a new token."

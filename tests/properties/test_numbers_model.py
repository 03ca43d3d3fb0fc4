"""An owner's statement acts by the number that the doorbell gave for it, or not at all (docs/decisions/0020).

Two owners, statements that are held back, repeated and overtaken, clocks that are set back, restarts, new boots and a
power cut at every commit.  `make prove-consent` explores two statements whole, and the first 2 000 states of all three.
A run without it explores the first 200 of all three.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

import pytest

from agent.custodian import verified_statements
from agent.custodian.journal_sqlite import SqliteJournal
from agent.custodian.verified_statements import Nonces
from tests.properties.amounts import amount
from tests.properties.consent_model import Broken, Exploration, remembering
from tests.properties.numbers_model import NumbersWorld
from tests.vaults import SeededEntropy

AROUND_STATEMENTS = {
    "the clock is set back",
    "the clock is right again",
    "ten minutes",
    "one more second",
    "restart",
    "a new boot",
}


@contextmanager
def explored(*, cuts: bool = True, only: Container[str] | None = None) -> Iterator[Exploration]:
    with remembering():
        world = NumbersWorld()
        try:
            yield Exploration(world, cuts=cuts, only=only)
        finally:
            world.door.close()


@pytest.mark.timeout(7200)
def test_statements_act_once_in_their_order_within_ten_minutes_and_only_until_a_restart() -> None:
    """The first states only: three statements have more than 20 000. The next test explores two of them whole."""
    with explored() as exploration:
        done = exploration.run(amount(70, 2000))
    print(done)
    assert done.cuts > amount(100, 10_000)


@pytest.mark.at_length("make prove-consent")
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "pair",
    [
        ("anna's opt-out", "anna's opt-in"),  # their order counts, because they have one signer
        ("anna's opt-out", "bo's opt-out"),  # it does not count between two signers
    ],
)
def test_two_statements_in_every_order_with_a_power_cut_at_every_commit(pair: tuple[str, str]) -> None:
    of_pair = {f"{act} {statement}" for act in ("sign", "deliver") for statement in pair}
    with explored(only=of_pair | AROUND_STATEMENTS) as exploration:
        done = exploration.run()
    print(done)
    assert done.whole
    assert done.states > 1000


OF_THE_CLOCK = {
    "sign anna's opt-out",
    "deliver anna's opt-out",
    *(AROUND_STATEMENTS - {"restart", "a new boot"}),
}
"""Enough for a mistake that shows only after five of them."""
Mutation = Callable[[pytest.MonkeyPatch], None]


def a_number_counts_for_an_hour(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verified_statements, "NONCE_LIFE_S", 3600)


def a_number_counts_for_a_second_less(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verified_statements, "NONCE_LIFE_S", verified_statements.NONCE_LIFE_S - 1)


def a_number_ages_by_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Nonces, "_now_us", lambda numbers: numbers._clock.now().utc_ns // 1000)


def a_number_outlives_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SeededEntropy, "token", lambda _, size_bytes: bytes(size_bytes))


def a_number_need_not_be_one_of_the_doorbells(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Nonces, "_mark", lambda *_: bytes(9))


def no_number_is_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Nonces, "claim", lambda *_: None)


def an_older_statement_may_come_after_a_later_one(patch: pytest.MonkeyPatch) -> None:
    claim = Nonces.claim

    def lenient(numbers: Nonces, nonce: str, signer: str) -> None:
        numbers._claimed.pop(signer, None)
        claim(numbers, nonce, signer)

    patch.setattr(Nonces, "claim", lenient)


def one_owners_statement_overtakes_anothers(patch: pytest.MonkeyPatch) -> None:
    claim = Nonces.claim
    patch.setattr(Nonces, "claim", lambda numbers, nonce, _: claim(numbers, nonce, "all"))


def a_number_counts_twice(patch: pytest.MonkeyPatch) -> None:
    an_older_statement_may_come_after_a_later_one(patch)
    patch.setattr(SqliteJournal, "use_nonce", lambda *_: True)


@pytest.mark.parametrize(
    "mutation",
    [
        a_number_counts_for_an_hour,
        a_number_counts_for_a_second_less,
        a_number_ages_by_the_wall_clock,
        a_number_outlives_a_restart,
        a_number_need_not_be_one_of_the_doorbells,
        no_number_is_asked_for,
        an_older_statement_may_come_after_a_later_one,
        one_owners_statement_overtakes_anothers,
        a_number_counts_twice,
    ],
    ids=lambda mutation: mutation.__name__,
)
def test_of_numbers_it_is_noticed_when(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    only = OF_THE_CLOCK if mutation is a_number_ages_by_the_wall_clock else None
    with explored(cuts=False, only=only) as exploration, pytest.raises(Broken) as caught:
        exploration.run(400)
    print(caught.value)

"""Long lives of a door, drawn by Hypothesis: the real code and a reference of plain values agree after every step.

`test_consent_model` tries every step from every state of one request. This test walks far: two requests, one owner or
two who must agree, forgeries, replays, evictions, and the power cut before or after any commit.

`make prove-consent` walks a million steps; a run without it a few thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.consent import RequestState
from tests.properties.amounts import WHOLE, amount
from tests.properties.consent_model import Broken, Cut, World, remembering
from tests.properties.consent_reference import Reference, Shown

STEPS = amount(1200, 1_000_000)
LIFE = 100
"""Steps of one drawn life at the most; they are a little shorter on average."""

Step = tuple[str, tuple[int, str] | None]
"""An action, and the commit at which the power goes: just before it, or just after."""


class Door:
    """Both worlds, and how far they have come."""

    def __init__(self, owners: int) -> None:
        self.world = World(2, owners, windows=True)
        self.names = sorted(self.world.actions)
        self._fresh = self.world.take()
        self._segments = list(self.world.papers)
        self._used = self._counted()
        self.steps = self.cuts = 0
        self.reached: Counter[str] = Counter()
        self.reference = Reference.new(2, owners)

    def begin(self) -> None:
        self.world.put(self._fresh)
        self.reference = Reference.new(2, self.world.owners)

    def take(self, step: Step) -> None:
        """One step of both.  Raises `Broken` where they part, or where a promise fails."""
        name, cut = step
        world, before = self.world, self.world.take()
        after = self.reference.copy()
        after.do(name)
        world.journal.commits, world.journal.cut = 0, cut
        try:
            world.actions[name]()
        except Cut:
            self.cuts += 1
            world.reboot()
            self.reference.restart()
            after.restart()
            self.reference = self._either(self.reference, after, step)
        else:
            world.journal.cut = None
            self._require(after, step)
            self.reference = after
        self.steps += 1
        self.reached.update(each.state or "not heard" for each in self.reference.asked)
        world.check(before)

    def _either(self, before: Reference, after: Reference, step: Step) -> Reference:
        """After a power cut, the world is one of the two.  Time has passed in any case; what ran out has ended."""
        if step[0] == "time":
            before = after
        # The days of standing have passed, also if the power went before they counted.
        before.phase = self.world.phase if "stands" in step[0] else before.phase
        seen = self.shown()
        for candidate in (after, before):
            if candidate.shown() == seen:
                return candidate
        raise Broken(f"{step}: neither before nor after\n  {seen}\n  {before.shown()}\n  {after.shown()}")

    def _require(self, expected: Reference, step: Step) -> None:
        if self.shown() != expected.shown():
            raise Broken(f"{step}: they part\n  {self.shown()}\n  {expected.shown()}")

    def shown(self) -> Shown:
        """As `Reference.shown`, read off the real one."""
        world = self.world
        stored = [world.journal.request(asked.id) for asked in world.asked]
        named = [world.disclosure(number) for number in range(len(stored))]
        first = world.journal.named("first.")
        return (
            tuple(each.state.value if each else None for each in stored),
            tuple(name in world.outbox.objects for name in named),
            tuple(bool(each) and each.id in first for each in stored),  # type: ignore[union-attr]
            tuple(frozenset(part for whose, part in world.published if whose == name) for name in named),
            tuple(world.sending.get(name or "") for name in named),
            tuple(number for number, segment in enumerate(self._segments) if segment in world.vault.kept),
            world.phase,
            world.jump,
            bool(world.journal.opt_outs()),
            world.trusted,
            self._counted() - self._used,
        )

    def _counted(self) -> int:
        """Returns how many statements have acted and how many numbers are used up."""
        rows = self.world.journal._rows
        return int(rows("SELECT count(*) FROM nonce")[0][0]) + int(rows("SELECT count(*) FROM sequence")[0][0])


@contextmanager
def a_door(owners: int) -> Iterator[Door]:
    with remembering():
        door = Door(owners)
        try:
            yield door
        finally:
            door.world.door.close()


STORY = ["request 0", "approve 0", "second 0", "send 0", "send 0", "request 1", "approve 1"]
"""Most lives begin with a part of it: a door to which no one comes is soon known."""
GONE = ["evict", "evict", "request 0"]
"""Some begin with this: in half a million steps, chance may never ask for footage of which nothing is left."""


def lives(door: Door) -> st.SearchStrategy[list[Step]]:
    """Some with all there is, some with a few kinds of action only: those come further."""
    cuts = st.none() | st.none() | st.none() | st.tuples(st.integers(1, 4), st.sampled_from(["before", "after"]))
    some = st.lists(st.sampled_from(door.names), min_size=4, max_size=12, unique=True)
    told = [(name, None) for name in STORY if name in door.names]
    begun = st.sampled_from([*(told[:length] for length in range(len(told) + 1)), [(name, None) for name in GONE]])
    lived = (some | st.just(door.names)).flatmap(
        lambda names: st.lists(st.tuples(st.sampled_from(names), cuts), min_size=LIFE // 2, max_size=LIFE)
    )
    return st.builds(lambda start, rest: start + rest, begun, lived)


def walk(door: Door, steps: int) -> None:
    @settings(
        max_examples=max(1, steps // LIFE),
        deadline=None,
        database=None,
        derandomize=not WHOLE,
        suppress_health_check=list(HealthCheck),
    )
    @given(lives(door))
    def live(life: list[Step]) -> None:
        door.begin()
        for step in life:
            door.take(step)

    while door.steps < steps:
        live()


@pytest.mark.timeout(0)
@pytest.mark.parametrize("owners", [1, 2], ids=["one owner", "two owners"])
def test_the_real_door_and_the_reference_live_the_same_life(owners: int) -> None:
    with a_door(owners) as door:
        walk(door, STEPS // 2)
        print(f"{door.steps} steps, {door.cuts} power cuts: {dict(door.reached)}")
    assert door.steps >= STEPS // 2
    every = (
        {state.value for state in RequestState}
        - {"received"}
        - ({"waiting for another owner"} if owners == 1 else set())
    )
    assert {"approved", "sending"} <= door.reached.keys() <= {"not heard", *every}
    assert not WHOLE or every <= door.reached.keys()


def test_a_reference_that_knows_another_rule_parts_from_the_real_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.properties.consent_reference.WAITING", ("pending",))
    with a_door(2) as door:
        for name in ("request 0", "approve 0"):
            door.take((name, None))
        with pytest.raises(Broken, match="they part"):
            door.take(("deny 0", None))


def test_an_approval_that_was_listed_before_a_power_cut_goes_out_after_it() -> None:
    """The wait before its first byte counts on the boot clock, so the model must forget it with the process."""
    life = ["request 0", "approve 0", "request 1", "approve 1", "time", "send 0", "a new boot", "send 1"]
    with a_door(1) as door:
        door.begin()
        for name in life:
            door.take((name, None))
        assert door.reference.asked[1].state == "sending"

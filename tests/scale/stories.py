"""Stories of messages that doorbells heard late, one for each message and shard, so that a failed run explains itself:
when it was published, when the shard's broker carried it (the witness heard that), and which faults lay around it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from tests.scale.promises import PATIENCE_S, Belief, Book, Late, Wait
from tests.scale.wire_witness import Carried

__all__ = ["FaultSpan", "believed", "slowest", "stories"]

FaultSpan = tuple[str, str, float, float]
"""Kind, place, begin and end."""
_BEFORE_S = 60.0
_OF_SHARDS = ("broker", "digest service", "cut of a shard")
_MOST = 24


def stories(
    found: Iterable[Late], book: Book, carried: Sequence[Carried], history: Sequence[FaultSpan],
    shard_of_host: dict[str, int], now_s: float,
) -> list[str]:  # fmt: skip
    """Returns a line for each message and shard. `now_s`: of the monotonic clock."""
    groups: dict[tuple[str, int], list[Late]] = {}
    for late in found:
        groups.setdefault((late.message, late.shard), []).append(late)
    of_shard = {shard: sum(each == shard for each in book.shard_of.values()) for shard in book.outages}
    return [
        _story(group, book, carried, history, shard_of_host, of_shard[shard], now_s)
        for (_, shard), group in groups.items()
    ]


def slowest(wait: Wait, book: Book, history: Sequence[FaultSpan]) -> str:
    """Returns when a message was published and when a doorbell heard it, and the faults at its broker around that."""
    since_s, _ = book.published[wait.message]
    begins_s = wait.heard_s - wait.waited_s
    return (
        f"{wait.message}, {wait.waited_s:.1f} s at {wait.door} of shard {wait.shard}: published {_clock(since_s)}, due "
        f"from {_clock(begins_s)} on, heard {_clock(wait.heard_s)}; "
        f"{_around(book, wait.door, wait.shard, begins_s, wait.heard_s, history)}"
    )


def believed(belief: Belief, book: Book, history: Sequence[FaultSpan]) -> str:
    """Returns which doorbell believed in a connection of its killed broker and when, and the faults around that."""
    kind = "light doorbell" if belief.door in book.process_of else "whole agent"
    ends_s = belief.killed_s + belief.held_s
    return (
        f"{belief.held_s:.0f} s, {kind} {belief.door} of shard {belief.shard}, {_clock(belief.killed_s)} to "
        f"{_clock(ends_s)}; {_around(book, belief.door, belief.shard, belief.killed_s, ends_s, history)}"
    )


def _around(
    book: Book, door: str, shard: int, begins_s: float, ends_s: float, history: Sequence[FaultSpan]
) -> str:  # fmt: skip
    """Returns how long the process of a doorbell stood still in that time, and the faults at its broker around it."""
    faults = [
        f"{kind} {_clock(began_s)}-{_clock(ended_s)}"
        for kind, place, began_s, ended_s in sorted(history, key=lambda each: each[2])
        if place == f"shard {shard}" and ended_s >= begins_s - _BEFORE_S and began_s <= ends_s
    ]
    stood_s = sum(
        min(until_s, ends_s) - max(at_s, begins_s)
        for at_s, until_s in book.stalls_of(door)
        if at_s < ends_s and until_s > begins_s
    )
    return f"its process stood still for {stood_s:.1f} s meanwhile; faults: {', '.join(faults) or 'none'}"


def _clock(at_s: float) -> str:
    """`at_s`: of the monotonic clock."""
    return time.strftime("%H:%M:%S", time.localtime(at_s + time.time() - time.monotonic()))


def _story(
    group: Sequence[Late], book: Book, carried: Sequence[Carried], history: Sequence[FaultSpan],
    shard_of_host: dict[str, int], doorbells: int, now_s: float,
) -> str:  # fmt: skip
    message, shard = group[0].message, group[0].shard
    since_s, _ = book.published[message]
    first_s, last_s = min(each.due_s for each in group), max(each.heard_s or now_s for each in group)
    late = sorted((each.heard_s or now_s) - each.due_s for each in group)
    never = sum(each.heard_s is None for each in group)
    heard = [each.heard_s for each in group if each.heard_s is not None]
    words = [
        f"{message} at {len(group)} of {doorbells} doorbells of shard {shard}: {late[0]:.0f} to {late[-1]:.0f} s late"
        + (f", {never} never" if never else ""),
        f"published {_clock(since_s)}, due from {_clock(first_s)} on",
    ]
    if heard:
        words.append(f"heard {_clock(min(heard))} to {_clock(max(heard))}")
    came = [
        f"{_clock(at_s)}{' (retained)' if retained else ''}"
        for each, host, retained, at_s in carried
        if each == message and shard_of_host.get(host) == shard
    ]
    words.append(f"its broker carried it at {', '.join(came) or 'no time that the witness heard'}")
    begins_s = first_s - PATIENCE_S - _BEFORE_S
    around = [
        f"{kind} {place} {_clock(began_s)}-{_clock(ended_s)}".replace("  ", " ")
        for kind, place, began_s, ended_s in sorted(history, key=lambda each: each[2])
        if ended_s >= begins_s and began_s <= last_s and (kind not in _OF_SHARDS or place == f"shard {shard}")
    ]
    spans = {span for each in group for span in book.stalls_of(each.door)}
    stood_s = [ends_s - at_s for at_s, ends_s in spans if at_s <= last_s and ends_s >= begins_s]
    if stood_s:
        words.append(f"meanwhile their processes stood still for up to {max(stood_s):.1f} s")
    words.append(f"faults: {', '.join(around[:_MOST]) or 'none'}")
    return "; ".join(words)

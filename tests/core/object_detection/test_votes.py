"""Moving things count, static objects are ignored, one inference proves nothing, and a stretch is judged by its
frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.object_detection.labels import Box, Detection, LabelVotes, MovedRegions, ObjectLabel, is_moving
from agent.core.timebase import BootNs, seconds

HERE: Box = (0.2, 0.2, 0.4, 0.6)
THERE: Box = (0.7, 0.2, 0.9, 0.6)


def at(second: float) -> BootNs:
    return BootNs(seconds(second))


def seen(sight: ObjectLabel, box: Box = HERE, score: float = 0.5) -> Detection:
    return Detection(sight, score, box)


def test_two_good_looks_are_believed_and_one_is_not() -> None:
    votes = LabelVotes()
    votes.add(at(0), [seen(ObjectLabel.PERSON)], HERE)
    assert votes.shown == ()
    votes.add(at(1), [seen(ObjectLabel.PERSON)], HERE)
    assert votes.shown == (ObjectLabel.PERSON,)


def test_poor_looks_far_apart_do_not_add_up() -> None:
    votes = LabelVotes()
    for second in range(100):
        votes.add(at(second), [seen(ObjectLabel.PERSON, score=0.3)] if second % 10 == 0 else [], HERE)
    assert votes.shown == ()


def test_a_car_that_was_parked_there_is_no_visitor_when_somebody_walks_past_it() -> None:
    votes = LabelVotes()
    votes.add(at(0), [seen(ObjectLabel.VEHICLE, HERE), seen(ObjectLabel.PERSON, THERE)], THERE)
    for second in range(1, 9):
        votes.add(at(second), [seen(ObjectLabel.VEHICLE, HERE), seen(ObjectLabel.PERSON, HERE)], (0.1, 0.1, 0.9, 0.9))
    assert votes.shown == (ObjectLabel.PERSON,)


def test_a_car_that_drives_through_is_one() -> None:
    votes = LabelVotes()
    for second in range(4):
        box = (0.2 * second, 0.3, 0.2 * second + 0.3, 0.6)
        votes.add(at(second), [seen(ObjectLabel.VEHICLE, box)], box)
    assert votes.shown == (ObjectLabel.VEHICLE,)


def test_after_a_press_without_motion_only_a_person_counts() -> None:
    assert is_moving(seen(ObjectLabel.PERSON), None)
    assert not is_moving(seen(ObjectLabel.VEHICLE), None)


def test_motion_in_a_corner_of_it_is_not_enough() -> None:
    assert is_moving(seen(ObjectLabel.PERSON, HERE), HERE)
    assert not is_moving(seen(ObjectLabel.PERSON, HERE), (0.36, 0.5, 0.9, 0.9))
    assert not is_moving(seen(ObjectLabel.PERSON, HERE), THERE)


def test_each_stretch_says_what_was_seen_in_its_own_frames() -> None:
    votes = LabelVotes()
    for second in range(5):
        votes.add(at(second), [], HERE)
    for second in range(5, 10):
        votes.add(at(second), [seen(ObjectLabel.PERSON)], HERE)
    assert votes.shown_between(at(0), at(5)) == ()
    assert votes.shown_between(at(5), at(10)) == (ObjectLabel.PERSON,)
    assert votes.shown_between(at(10), at(20)) is None, "nobody looked"


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sets(st.sampled_from(ObjectLabel)))),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_a_stretch_never_says_more_than_its_event(
    looks: list[tuple[int, set[ObjectLabel]]], from_s: int, until_s: int
) -> None:
    votes = LabelVotes()
    for second, sights in sorted(looks, key=lambda each: each[0]):
        votes.add(at(second), [seen(sight) for sight in sights], HERE)
    said = votes.shown_between(at(from_s), at(until_s))
    inside = [sights for second, sights in looks if from_s <= second < until_s]
    assert (said is None) == (not inside)
    assert set(said or ()) <= set(votes.shown)
    assert set(said or ()) <= {sight for sights in inside for sight in sights}


def test_where_something_moved_is_forgotten_after_seconds_but_never_all_of_it() -> None:
    moved = MovedRegions()
    assert moved.box is None
    moved.add(at(0), HERE, present=False)
    moved.add(at(1), THERE, present=False)
    assert moved.box == (0.2, 0.2, 0.9, 0.6)
    for second in (2, 3, 4):
        moved.add(at(second), None, present=False)
    assert moved.box == THERE
    moved.add(at(400), None, present=False)
    assert moved.box == THERE


def test_who_stands_still_stays_where_they_are() -> None:
    moved = MovedRegions()
    moved.add(at(0), HERE, present=True)
    for second in range(1, 60):
        moved.add(at(second), None, present=True)
    moved.add(at(60), THERE, present=True)
    assert moved.box == (0.2, 0.2, 0.9, 0.6)

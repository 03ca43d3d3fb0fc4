"""An error that no check foresees is named by its kind and its place, and stops no other answer."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from agent.clients.requester.checks import CheckOutcome, VerifiedItem, ranges_of, unexpected_errors
from agent.errors import FormatError, InternalError, NetworkError, StorageError
from tests.clients.requester.full_answer import FACE, VOICE, FullAnswer


def divides() -> float:
    return 1 / 0


def test_an_unforeseen_error_becomes_one_of_this_program_with_its_place() -> None:
    with pytest.raises(InternalError, match=r"ZeroDivisionError in divides, line \d+") as raised, unexpected_errors():
        divides()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "report the error" in raised.value.remedy


@pytest.mark.parametrize("error", [FormatError("no"), NetworkError("no"), StorageError("no"), OSError("no")])
def test_a_foreseen_error_and_a_fault_of_the_machine_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, unexpected_errors():
        raise error
    assert raised.value is error


def test_numbers_are_told_as_the_first_and_the_last_of_each_run() -> None:
    assert ranges_of([]) == ()
    assert ranges_of([7]) == ((7, 7),)
    assert ranges_of([1, 2, 3, 5, 8, 9]) == ((1, 3), (5, 5), (8, 9))


def test_the_files_of_a_verification_are_found_by_what_they_are(full: FullAnswer) -> None:
    def numbers(items: tuple[VerifiedItem, ...]) -> list[int]:
        return [each.number for each in items]

    found = full.verification
    assert numbers(found.items) == [1, 2, 3, 4, 5, 6]
    assert (numbers(found.segments), numbers(found.posters), numbers(found.sounds)) == ([1, 3, 6], [5], [2])
    assert (numbers(found.redacted), numbers(found.unopened), found.unopened_ranges) == ([1, 2], [4], ((4, 4),))
    assert [each.redactions for each in found.items] == [(FACE,), (VOICE,), (), (), (), ()]
    assert [each.witnessed for each in found.items] == [True, True, True, True, True, False]


def test_a_file_has_the_start_of_its_record_and_the_length_that_it_states_of_itself(full: FullAnswer) -> None:
    first, cut = full.verification.items[0], full.verification.items[5]
    assert first.context is not None
    assert first.span == first.item.record.span
    span = first.context.span
    moved = replace(span, start_us=span.start_us + 5_000, end_us=span.end_us + 12_000)
    other = dataclasses.replace(first, context=replace(first.context, span=moved))
    assert other.span == replace(span, end_us=span.end_us + 7_000)
    assert (cut.context, cut.span) == (None, cut.item.record.span)


def test_one_check_that_fails_or_was_not_reached_makes_the_whole_not_ok(full: FullAnswer) -> None:
    first, *others = full.verification.checks
    assert full.verification.ok
    assert full.verification.failed is None
    for outcome, failed in ((CheckOutcome.FAILED, True), (CheckOutcome.NOT_REACHED, False)):
        changed = dataclasses.replace(first, outcome=outcome)
        verification = dataclasses.replace(full.verification, checks=(*others, changed))
        assert not verification.ok
        assert verification.failed == (changed if failed else None)

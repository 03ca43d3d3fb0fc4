"""An error that no check foresees is named by its kind and its place, and stops no other answer."""

from __future__ import annotations

import pytest

from agent.clients.requester.checks import ranges_of, unexpected_errors
from agent.errors import FormatError, InternalError, NetworkError, StorageError


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

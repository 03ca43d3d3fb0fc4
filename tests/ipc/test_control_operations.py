"""One table has the operations of the control socket and the page: what it refuses, and what is written of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import RequestError
from agent.ipc import rpc
from agent.ipc.control_operations import OPERATIONS, ListSegments, SubmitStatement, read_operation
from agent.ipc.rpc import Request, answer_type, operation_of
from agent.wire.control import Frame
from tests.ipc.echo import Said

PAGE = Path(__file__).parents[2] / "docs" / "local-rpc.md"


def rows() -> list[str]:
    """The table of docs/local-rpc.md, as it must be."""
    return [
        f"| {name} | {each.access.value if each.access else 'socket'} | {_names(each.request)} "
        f"| {_names(answer_type(each.request))} | {each.body_bytes >> 10} KiB |"
        for name, each in OPERATIONS.items()
    ]


def _names(kind: Any) -> str:
    """The fields of a struct. The facts of the page have the shape of the configuration file."""
    return " ".join(each.encode_name for each in msgspec.structs.fields(kind)) if isinstance(kind, type) else ""


def test_the_document_has_each_operation_with_its_arguments_result_and_bound() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("|---|---|---|---|---|\n")[2]
    assert [line for line in table.splitlines() if line.startswith("|")] == rows()


def test_a_request_is_read_with_its_types() -> None:
    head = {"op": "statement", "envelope": "{}", "sizes": [3, 4]}
    assert read_operation("statement", Frame(head)) == SubmitStatement("{}", (3, 4))
    assert read_operation("list", Frame({"from_ms": 1, "to_ms": 2})) == ListSegments(1, 2), "the page's frames"


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_body_beyond_the_bound_of_its_operation_is_refused(operation: str) -> None:
    largest = OPERATIONS[operation].body_bytes
    with pytest.raises(RequestError, match=f"The body of '{operation}' is larger than {largest} bytes"):
        read_operation(operation, Frame({}, bytes(largest + 1)))


def test_a_body_of_exactly_the_bound_is_taken() -> None:
    operation = OPERATIONS["status"]
    assert type(read_operation("status", Frame({}, bytes(operation.body_bytes)))) is operation.request


def test_a_request_prepares_its_answer_while_it_is_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that decode a type for the first time at once would end the process."""
    prepared: list[object] = []
    monkeypatch.setattr(rpc, "prepare", prepared.append)
    monkeypatch.setattr("agent.wire.strictjson.prepare", prepared.append)

    class Ask(Request[Said], frozen=True):
        number: int

    assert prepared == [Ask, Said]
    assert operation_of(Ask) == "Ask"


@pytest.mark.parametrize(
    ("operation", "arguments", "place"),
    [
        ("segment", {}, "`id`"),
        ("segment", {"id": None}, r"\$\.id"),
        ("segment", {"id": "größer"}, r"\$\.id"),
        ("segment", {"id": "a", "ip": "b"}, "`ip`"),
        ("status", {"all": True}, "`all`"),
        ("list", {"from_ms": -1, "to_ms": 5}, r"\$\.from_ms"),
        ("list", {"from_ms": 1, "to_ms": 2**62}, r"\$\.to_ms"),
        ("list", {"from_ms": True, "to_ms": 5}, r"\$\.from_ms"),
        ("requests", {"all": 1}, r"\$\.all"),
        ("statement", {"envelope": "{}", "sizes": [0]}, r"\$\.sizes"),
        ("statement", {"envelope": "{}", "sizes": [True]}, r"\$\.sizes"),
        ("statement", {"envelope": "{}", "sizes": "3"}, r"\$\.sizes"),
        ("enrol_confirm", {"tokens": {"owner-1": 7}}, r"\$\.tokens"),
        ("page_card", {"card": "a\n"}, r"\$\.card"),
        ("page_card", {"card": "a" * 8193}, r"\$\.card"),
        ("page_end", {"id": 7}, r"\$\.id"),
        ("events", {"from_ms": 0}, "`to_ms`"),
    ],
)
def test_arguments_that_the_operation_does_not_have_are_refused_with_their_place(
    operation: str, arguments: dict[str, Any], place: str
) -> None:
    with pytest.raises(RequestError, match=f"'{operation}'.*{place}"):
        read_operation(operation, Frame({"op": operation, **arguments}))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_no_operation_has_an_argument_of_a_name_that_is_not_its_own(operation: str) -> None:
    with pytest.raises(RequestError, match="cannot be used"):
        read_operation(operation, Frame({"op": operation, "": 1}))

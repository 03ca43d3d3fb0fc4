"""`doorward notify`: what it says where no alert is configured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from agent.ipc.control_operations import GetStatus
from agent.ipc.rpc import Request


class Silent:
    """A device without [alerts]: its status leaves them out."""

    def document(self, request: Request[Any]) -> dict[str, Any]:
        assert isinstance(request, GetStatus), "it is not asked for what it does not know"
        return {}


def test_without_a_channel_both_commands_say_so_and_the_test_says_what_to_add(
    tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.notify._linked", lambda _: nullcontext(Silent()))
    done = tool("notify", "test")
    assert done.status == 2
    assert "No channel is configured: alerts go only to the log." in done.err
    assert "Add [alerts] to" in done.err
    assert "No channel is configured" in tool("notify", "status").out

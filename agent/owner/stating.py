"""Signs an owner's statement and hands it to the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.owner.keys import OwnerKeys
from agent.owner.meeting import Link
from agent.wire import envelope, strictjson
from agent.wire.statements import Approval, OptIn, OptOut, Refusal, Revocation, TrustChange

__all__ = ["state"]

Statement = Approval | Refusal | OptOut | OptIn | Revocation | TrustChange


def state(link: Link, keys: OwnerKeys, statement: Statement, headers: Sequence[bytes] = ()) -> dict[str, Any]:
    """The device's answer to `statement`; `headers` are an approval's new age headers.  Raises the device's refusal."""
    signed = envelope.sign(statement.PAYLOAD_TYPE, strictjson.encode(statement), keys.approval)
    sizes = [len(header) for header in headers]
    return link.ask("statement", body=b"".join(headers), envelope=signed.decode("ascii"), sizes=sizes)

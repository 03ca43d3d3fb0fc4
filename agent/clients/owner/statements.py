"""Signs an owner's statement and hands it to the device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.sync import DeviceChannel, SyncedDevice, ask_nonce
from agent.errors import ConfigurationError, FormatError, NetworkError, OvertakenError
from agent.ipc.control_operations import SubmitStatement, VerdictAnswer
from agent.wire import strictjson
from agent.wire.statements import (
    Approval,
    CoApproval,
    Denial,
    Erasure,
    Hold,
    OptIn,
    OptOut,
    Release,
    Revocation,
    Settings,
    Tip,
    TrustChange,
    UpdateChoice,
    UpdateReversal,
    sign_statement,
)

__all__ = ["disclosure_in", "sign_and_submit"]

_AGAIN_WITHIN_S: Final = 2.0
"""A refusal within this time is retried: another statement of the same owner can hardly have come between."""

Statement = (
    Approval
    | Denial
    | OptOut
    | OptIn
    | Revocation
    | CoApproval
    | Tip
    | TrustChange
    | UpdateChoice
    | UpdateReversal
    | Hold
    | Release
    | Erasure
    | Settings
)


def sign_and_submit(
    link: DeviceChannel,
    keys: OwnerKeys,
    met: SyncedDevice,
    kind: type[Statement],
    *,
    now_ms: int,
    headers: Sequence[bytes] = (),
    **matter: Any,
) -> VerdictAnswer:
    """Signs and submits a statement of that kind and `matter`, and returns the device's answer.

    `headers` are an approval's new age headers. If another client of the same owner was faster, the statement is signed
    once more with a later number. A late refusal is final: the owner may have made another decision meanwhile, and the
    last decision must stand. Raises `ConfigurationError` for an invalid statement, and the device's refusal.
    """
    begun_s = time.monotonic()
    try:
        return _hand_in(link, keys, met, kind, now_ms, headers, matter)
    # The nonce of this statement is lower than one that counts already, for example of a second window of this owner.
    except OvertakenError:
        if time.monotonic() - begun_s > _AGAIN_WITHIN_S:
            raise
        return _hand_in(link, keys, met, kind, now_ms, headers, matter)


def _hand_in(
    link: DeviceChannel,
    keys: OwnerKeys,
    met: SyncedDevice,
    kind: type[Statement],
    now_ms: int,
    headers: Sequence[bytes],
    matter: dict[str, Any],
) -> VerdictAnswer:
    try:
        statement = kind(v=1, device=met.known.key, owner_time_ms=now_ms, nonce=ask_nonce(link), **matter)
        payload = strictjson.encode(statement)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error
    signed = sign_statement(kind.PAYLOAD_TYPE, payload, keys.approval)
    sizes = tuple(len(header) for header in headers)
    try:
        return link.ask(SubmitStatement(signed.decode("ascii"), sizes), body=b"".join(headers))
    except NetworkError as error:
        # The statement may have arrived, and only its answer is lost: a relay can see to that.
        raise NetworkError(
            error.message,
            remedy="Your signature may have reached the device. Before you sign again, see whether it counts: "
            "doorward owner review, or doorward owner ledger.",
        ) from error


def disclosure_in(answer: VerdictAnswer) -> str:
    """Returns the id of the disclosure that the statement made. Raises `NetworkError` if the device names none."""
    if answer.disclosure is None:
        raise NetworkError(
            "The device's answer names no disclosure.", remedy="Update the device and this machine to one version."
        )
    return answer.disclosure

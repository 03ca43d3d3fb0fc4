"""Carries one disclosure from a device's outbox to a requester's disk over a bus that may lose, repeat and reorder.

A disclosure is a list of parts: part 0, the sealed manifest, then the segments it lists.  Two pure state machines:

    Sender                                         Receiver
      init (retained: what part 0 is)      ──▶       answers with what it holds
      chunks of part 0, fin                ──▶       writes, seals, shows the manifest to its client
      waits until part 0 is *held*         ◀──       receipt
      chunks of parts 1 … n, a fin each    ──▶       writes, seals; a receipt for every part
      … init again whenever it is quiet    ◀──       receipt: held, or which bytes are missing
      done                                 ◀──       receipt: complete, after the client verified and opened all

Rules:
- A broker's acknowledgement only frees a place in the window.  A receipt marks bytes as done.
- Footage leaves after the requester has reported that it holds the manifest and wants the rest.
- The bytes at an offset of a part are the same on every retry, even if the chunk size has changed meanwhile.
- After `UploadSender.stop` (revocation, expiry) all chunks stay here. Before the first chunk, the requester knows only
  the init: that an answer waits, its number of parts, and the size and hash of part 0.
- A crash may lose the memory of either side at any time.  Then the sender asks, and the receiver looks at its disk.

Drive both the same way: pass an input, call `next_effect(now)` until it returns None, then wait for the next input or
until `deadline_ns`.

Source: PROTOCOL.md, "Upload"; the grammar (init, chunk, fin, abort) is EMQX's file transfer over MQTT.
"""

from agent.core.transfer.receiver import (
    AllReceived,
    ManifestReceived,
    ReceiverEffect,
    ReceiverLimits,
    SealPart,
    SendReceipt,
    UploadReceiver,
    WritePart,
)
from agent.core.transfer.reception import OpenTransfers
from agent.core.transfer.sender import UploadSender
from agent.core.transfer.values import (
    ByteRanges,
    ClearInit,
    Finished,
    MarkBegun,
    PartSize,
    SendAbort,
    SendChunk,
    SenderEffect,
    SendFin,
    SendInit,
    TransferOutcome,
    TransferProgress,
    progress_from_receipt,
    receipt_for,
)

__all__ = [
    "AllReceived",
    "ByteRanges",
    "ClearInit",
    "Finished",
    "ManifestReceived",
    "MarkBegun",
    "OpenTransfers",
    "PartSize",
    "ReceiverEffect",
    "ReceiverLimits",
    "SealPart",
    "SendAbort",
    "SendChunk",
    "SendFin",
    "SendInit",
    "SendReceipt",
    "SenderEffect",
    "TransferOutcome",
    "TransferProgress",
    "UploadReceiver",
    "UploadSender",
    "WritePart",
    "progress_from_receipt",
    "receipt_for",
]

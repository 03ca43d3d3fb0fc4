"""Questions of doorbells that wait while data of others comes. Doorbells take turns, so none delays another one.

A question is an init: the announcement of an upload, and how much of it is here. A dropped question comes again,
because its doorbell repeats it after seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from agent.core.bus import MessageReceived

__all__ = ["MOST_OF_ONE", "MOST_QUESTIONS", "PendingQuestions"]

MOST_QUESTIONS: Final = 4096
MOST_OF_ONE: Final = 64
"""Places of one doorbell, and of all tips without a name together."""


class PendingQuestions:
    """The newest question of each upload, by device and disclosure."""

    def __init__(self) -> None:
        self._devices: OrderedDict[str, OrderedDict[str, MessageReceived]] = OrderedDict()
        """In the order of their turns, each with its uploads, oldest first."""

    def __len__(self) -> int:
        return sum(map(len, self._devices.values()))

    def put(self, device: str, disclosure: str, question: MessageReceived) -> None:
        """Keeps a question. If there are too many, the newest one of the doorbell with the most is dropped."""
        own = self._devices.setdefault(device, OrderedDict())
        if disclosure in own or len(own) < MOST_OF_ONE:
            own[disclosure] = question
        if len(self) > MOST_QUESTIONS:
            most = max(self._devices, key=lambda name: len(self._devices[name]))
            self.drop(most, next(reversed(self._devices[most])))

    def take(self) -> MessageReceived | None:
        """Returns the oldest question of the next doorbell in turn."""
        if not self._devices:
            return None
        device, own = self._devices.popitem(last=False)
        _disclosure, question = own.popitem(last=False)
        if own:
            self._devices[device] = own  # behind all others
        return question

    def drop(self, device: str, disclosure: str) -> None:
        own = self._devices.get(device)
        if own is not None and own.pop(disclosure, None) is not None and not own:
            del self._devices[device]

    def forget(self, source: str) -> None:
        """Drops what came from a broker that is out of reach. It repeats its retained questions."""
        for device, own in list(self._devices.items()):
            for disclosure in [name for name, each in own.items() if each.source == source]:
                self.drop(device, disclosure)

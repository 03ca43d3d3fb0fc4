"""A suggested cover, as the decoder that examines films hands it over."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.vault.redactions import Place

__all__ = ["Suggestion"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A cover as the plan of a clip has it. `score`: the surest detection in it, 0..1."""

    from_ms: int
    until_ms: int
    places: tuple[Place, ...]
    score: float

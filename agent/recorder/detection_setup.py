"""Builds the second opinion of a role that has a recorder: whether there is one, and what lowers its thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from agent.config import Configuration, OpinionUse
from agent.core.object_detection.detector import Eye
from agent.ports import Notifier
from agent.recorder.detector_litert import MODELS, absent, open_eye
from agent.recorder.io_priority import work_behind
from agent.recorder.object_detection import SecondOpinion
from firmware_bridge.boards import board_named

__all__ = ["make_opinion", "why_none"]


def make_opinion(
    configuration: Configuration, notifier: Notifier, open_own: Callable[[], Eye] | None = None
) -> SecondOpinion:
    """Loads nothing yet.  `open_own` instead of the networks that are installed."""
    if open_own is not None:
        return SecondOpinion(open_own, notifier, step_back=work_behind)
    why = why_none(configuration)
    if not why:
        folder = configuration.opinion.models or MODELS
        return SecondOpinion(partial(open_eye, folder), notifier, step_back=work_behind)
    if configuration.opinion.use is OpinionUse.ON:
        structlog.get_logger("opinion").warning("no_opinion", reason=why, remedy="make models, then install again")
    return SecondOpinion(None, notifier, why=why)


def why_none(configuration: Configuration) -> str:
    """Why this doorbell has no second opinion, in a sentence; empty when it has one."""
    wanted = configuration.opinion
    if wanted.use is OpinionUse.OFF:
        return "It is switched off."
    board = board_named(configuration.board.profile)
    if wanted.use is OpinionUse.AUTO and not board.opinion:
        return f"Boards like this one ({board.name.value}) may have too little memory for it."
    return absent(wanted.models or MODELS)

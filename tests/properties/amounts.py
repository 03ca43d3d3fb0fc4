"""Amount of a proof in a run: a share in every run, the whole with `DOORWARD_PROVE=all` (CONTRIBUTING.md)."""

from __future__ import annotations

import os

WHOLE = os.environ.get("DOORWARD_PROVE") == "all"


def amount(share: int, whole: int) -> int:
    return whole if WHOLE else share

"""`doorward-desk serve` whose retention clock is some days ahead: python -m tests.desk.later_retention DAYS"""

from __future__ import annotations

import datetime
import sys
from types import SimpleNamespace

from desk.cli import main, start_django


def serve(days: int) -> None:
    """The receiver's thread asks this clock what is due. Pages and sessions keep the clock of this computer."""
    start_django()
    from django.utils import timezone

    from desk.receiving import receiver_thread

    ahead = datetime.timedelta(days=days)
    receiver_thread.timezone = SimpleNamespace(now=lambda: timezone.now() + ahead)  # type: ignore[assignment]
    main(["serve"])


if __name__ == "__main__":
    serve(int(sys.argv[1]))

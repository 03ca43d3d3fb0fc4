"""Do the witnesses and time-stampers of the configuration confirm the time?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.checks.finding import Finding, fine, poor
from agent.config.settings import WitnessConfig

__all__ = ["check_witnesses"]


def check_witnesses(witness: WitnessConfig, status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields a finding for each address. `status`: of the running doorbell, or empty."""
    time = status.get("time") or {}
    heard = time.get("by") or {}
    for address in witness.addresses:
        subject = f"{'witness' if address.key else 'time-stamper'}: {address.name}"
        answer = heard.get(address.name)
        if answer is None:
            yield fine(subject, f"It is asked every {witness.every_hours} h. There was no beat since the start.")
        elif answer:
            yield poor(
                subject,
                f"At the last beat it confirmed nothing: {answer}",
                "Compare its address and key in [witness] with those that it publishes.",
            )
        else:
            yield fine(subject, f"It confirmed the last beat: {time.get('confirmed')} of {time.get('beats')}.")

"""The form of times in every command: ISO 8601, in UTC if no zone is given.

The output is also UTC, so a printed time can be typed again. The machine's time zone never changes the meaning.
"""

from __future__ import annotations

from datetime import UTC, datetime

from agent.errors import ConfigurationError

__all__ = ["parse_seconds", "parse_time", "parse_window"]

_REMEDY = "Write it like 2027-01-15T18:00 (UTC) or 2027-01-15T19:00+01:00."


def parse_time(text: str, option: str) -> int:
    """Returns UTC milliseconds of an ISO 8601 time; without an offset it is UTC. Raises `ConfigurationError`."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigurationError(f"{option}: '{text}' is not a time.", remedy=_REMEDY) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def parse_seconds(text: str, option: str) -> int:
    """UTC seconds of an ISO 8601 time, which names a whole one.  Raises `ConfigurationError`."""
    seconds, rest_ms = divmod(parse_time(text, option), 1000)
    if rest_ms:
        raise ConfigurationError(f"{option}: '{text}' is not a whole second.", remedy=_REMEDY)
    return seconds


def parse_window(text: str, option: str = "--window") -> tuple[int, int]:
    """UTC milliseconds of `FROM/TO`.  Raises `ConfigurationError` for anything else."""
    first, slash, last = text.partition("/")
    if not slash:
        raise ConfigurationError(f"{option}: '{text}' is not a window.", remedy="Write FROM/TO, both in UTC.")
    from_ms, to_ms = parse_time(first, option), parse_time(last, option)
    if from_ms >= to_ms:
        raise ConfigurationError(
            f"{option}: it ends before it begins.", remedy="Write FROM/TO, with the earlier time first."
        )
    return from_ms, to_ms

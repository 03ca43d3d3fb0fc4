"""Stands in for python-prctl."""


def set_pdeathsig(*_signals: int) -> None:
    """Would end a child with its parent."""

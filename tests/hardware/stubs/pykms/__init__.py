"""Stands in for pykms: previews on a screen, which a doorbell lacks."""


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_AnyName):
    """Any format by name."""


class PlaneType(metaclass=_AnyName):
    """Any plane by name."""


class Card:
    """There is none."""

    def __init__(self, *_arguments: object) -> None:
        raise RuntimeError("there is no screen here")

"""Trees of JSON with one or more places exchanged, as a program that was altered would send them."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from hypothesis import strategies as st

__all__ = ["mutated", "mutations"]

_GONE = object()
_INSTEAD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, -(10**400), 1e308, "", "1", "\x1b[2J", [], [1], [[]], {}, {"a": {}}, [None],
    _GONE,
)  # fmt: skip


def mutations(sample: Any) -> st.SearchStrategy[Any]:
    """`sample` with one to three of its places, at whatever depth, exchanged for something else or left out."""
    places = list(_places(sample))
    change = st.tuples(st.sampled_from(places), st.sampled_from(_INSTEAD))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _changed(sample, changes))


def mutated(sample: Any, random: Random) -> Any:
    """One of them."""
    places = list(_places(sample))
    return _changed(sample, [(random.choice(places), random.choice(_INSTEAD)) for _ in range(random.randint(1, 3))])


def _places(tree: Any, at: tuple[Any, ...] = ()) -> Any:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*at, key)
        yield from _places(value, (*at, key))


def _changed(sample: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    tree = copy.deepcopy(sample)
    for (*above, last), value in changes:
        node = tree
        try:
            for key in above:
                node = node[key]
            node[last]
        except (LookupError, TypeError):  # an earlier change took this place away
            continue
        if not isinstance(node, dict | list):
            continue
        if value is _GONE:
            del node[last]
        else:
            node[last] = value
    return tree

"""The limits of the same run for stores: bare S3 puts and bare SQL inserts, without any of Doorward's code."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

import psycopg

__all__ = ["calls_per_s", "inserts_per_s", "puts_per_s"]

_ENOUGH_S = 2.0


def puts_per_s(client: Any, bucket: str, size_bytes: int, at_once: int = 1) -> float:
    """Puts new objects of that size, with the condition that a part is put with. `at_once`: threads, as many as there
    are workers."""
    names = count()

    def put() -> None:
        client.put_object(
            Bucket=bucket, Key=f"bare/{at_once}-{next(names)}", Body=os.urandom(size_bytes), IfNoneMatch="*"
        )

    return calls_per_s([put] * at_once)


def inserts_per_s(address: str, at_once: int = 1) -> float:
    """Inserts rows, each committed before the next one of its connection. `at_once`: connections."""
    with ExitStack() as ends:
        connections = [ends.enter_context(psycopg.connect(address, autocommit=True)) for _ in range(at_once)]
        connections[0].execute("CREATE TABLE bare (id bigserial PRIMARY KEY, sha256 text, data bytea)")
        row = ("INSERT INTO bare (sha256, data) VALUES (%s, %s)", ("0" * 64, bytes(200)))
        found = calls_per_s([partial(each.execute, *row) for each in connections])
        connections[0].execute("DROP TABLE bare")
    return found


def calls_per_s(acts: Sequence[Callable[[], object]], enough_s: float = _ENOUGH_S) -> float:
    """Returns how many calls a second end. Each act is repeated by a separate thread."""
    began_s = time.monotonic()

    def repeat(act: Callable[[], object]) -> int:
        done = 0
        while time.monotonic() < began_s + enough_s:
            act()
            done += 1
        return done

    with ThreadPoolExecutor(len(acts)) as pool:
        done = sum(pool.map(repeat, acts))
    return done / (time.monotonic() - began_s)

"""The limits of the same run for stores: bare S3 puts and bare SQL inserts, without any of Doorward's code."""

from __future__ import annotations

import os
import time
from typing import Any

import psycopg

__all__ = ["inserts_per_s", "puts_per_s"]

_ENOUGH_S = 3.0


def puts_per_s(client: Any, bucket: str, size_bytes: int) -> float:
    """Puts new objects of that size, one after another, with the condition that a part is put with."""
    began_s, done = time.monotonic(), 0
    while (took_s := time.monotonic() - began_s) < _ENOUGH_S:
        client.put_object(Bucket=bucket, Key=f"bare/{done}", Body=os.urandom(size_bytes), IfNoneMatch="*")
        done += 1
    return done / took_s


def inserts_per_s(address: str) -> float:
    """Inserts rows, each committed before the next."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, sha256 text, data bytea)")
        began_s, done = time.monotonic(), 0
        while (took_s := time.monotonic() - began_s) < _ENOUGH_S:
            connection.execute("INSERT INTO bare (sha256, data) VALUES (%s, %s)", ("0" * 64, bytes(200)))
            done += 1
        connection.execute("DROP TABLE bare")
    return done / took_s

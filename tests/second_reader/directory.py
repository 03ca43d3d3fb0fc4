"""Broker directories, and how they are published: PROTOCOL.md, sections 7 and 9."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from tests.second_reader.json_once import KEY_ID, V1, distinct, fields, integer, many, parse, refuse_unless

NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def host(value: Any) -> str:
    refuse_unless(isinstance(value, str), "a host")
    is_name = re.fullmatch(rf"{NAME}(\.{NAME}){{0,8}}", value, re.ASCII) is not None
    refuse_unless(is_name or re.fullmatch("[0-9a-f:]{2,39}", value, re.ASCII) is not None, "a host")
    return str(value)


def cell(value: Any) -> tuple[int, int]:
    refuse_unless(isinstance(value, str), "a cell")
    found = re.fullmatch("(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})", value, re.ASCII)
    refuse_unless(found is not None and int(found[1]) < 360 and int(found[2]) < 720, "a cell")
    assert found is not None
    return int(found[1]), int(found[2])


def rectangle(value: Any) -> dict[str, tuple[int, int]]:
    found = fields(value, {"south_west": cell, "north_east": cell})
    low, high = found["south_west"], found["north_east"]
    refuse_unless(low[0] <= high[0] and low[1] <= high[1], "inside out")
    return found


def read(data: bytes, root: str) -> list[dict[str, Any]]:
    """The brokers of a directory of this root."""
    port = integer(1)

    def broker(value: Any) -> dict[str, Any]:
        found = fields(value, {"host": host, "port": port, "cells": many(rectangle, 1, 64)})
        refuse_unless(found["port"] <= 65_535, "a port")
        return found

    found = fields(parse(data, limit=1 << 20), {"v": V1, "root": KEY_ID, "brokers": many(broker, 1, 1024)})
    refuse_unless(found["root"] == root, "another root")
    distinct([(each["host"], each["port"]) for each in found["brokers"]])
    return list(found["brokers"])


def brokers_of(brokers: list[dict[str, Any]], wanted: str) -> list[str]:
    row, column = cell(wanted)
    return [
        f"[{each['host']}]:{each['port']}" if ":" in each["host"] else f"{each['host']}:{each['port']}"
        for each in brokers
        if any(
            low[0] <= row <= high[0] and low[1] <= column <= high[1]
            for low, high in ((place["south_west"], place["north_east"]) for place in each["cells"])
        )
    ]


def joined(messages: list[tuple[int, bytes]], slots: int = 9, most: int = 122_880) -> bytes | None:
    """The first directory that is whole among retained messages, by slot."""
    seen: dict[tuple[str, int], dict[int, bytes]] = {}
    for slot, data in messages:
        line, _, rest = data.partition(b"\n")
        words = line.decode("latin-1").split(" ")
        if len(words) != 2 or re.fullmatch("[0-9a-f]{64}", words[0], re.ASCII) is None or words[1] not in "123456789":
            continue
        count = int(words[1] or "0")
        if not (slot < count <= slots and 1 <= len(rest) <= most):
            continue
        chunks = seen.setdefault((words[0], count), {})
        chunks[slot] = rest
        whole = b"".join(chunks.get(number, b"") for number in range(count))
        if len(chunks) == count and hashlib.sha256(whole).hexdigest() == words[0]:
            return whole
    return None

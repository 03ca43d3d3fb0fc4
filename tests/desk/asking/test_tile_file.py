"""The desk's own file of tiles: ranges of it, to people who may see requests, and of this file only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from django.conf import settings
from django.test import override_settings

from desk.people.roles import Role
from tests.desk.agencies import Agency

ADDRESS = "/requests/tiles.pmtiles"


def with_tiles(tiles: str) -> override_settings:
    chosen = msgspec.structs.replace(settings.DESK.map, tiles=tiles)
    return override_settings(DESK=msgspec.structs.replace(settings.DESK, map=chosen))


def test_a_range_of_the_file_is_sent_and_never_the_whole_file(agency: Agency, data: Path) -> None:
    content = bytes(range(256)) * 8192
    (data / "map.pmtiles").write_bytes(content)
    client = agency.client(Role.ASKER)
    with with_tiles("map.pmtiles"):
        answer = client.get(ADDRESS, headers={"range": "bytes=10-19"})
        assert (answer.status_code, answer.content) == (206, content[10:20])
        assert answer["Content-Range"] == f"bytes 10-19/{len(content)}"
        assert client.get(ADDRESS, headers={"range": f"bytes={len(content)}-"}).status_code == 416
        assert client.get(ADDRESS).status_code == 400
        assert client.get(ADDRESS, headers={"range": "bytes=0-2000000"}).status_code == 400
        assert agency.client().get(ADDRESS).status_code == 302
        assert agency.client(Role.ADMIN).get(ADDRESS).status_code == 403


@pytest.mark.parametrize("tiles", ["", "https://tiles.example/{z}/{x}/{y}.png", "missing.pmtiles", "desk.sqlite3"])
def test_without_a_file_of_tiles_there_is_nothing_to_send(agency: Agency, tiles: str) -> None:
    with with_tiles(tiles):
        assert agency.client(Role.ASKER).get(ADDRESS, headers={"range": "bytes=0-9"}).status_code == 404


def test_only_the_configured_host_of_tiles_is_allowed_and_only_on_the_page_with_the_map(agency: Agency) -> None:
    client = agency.client(Role.ASKER)
    with with_tiles("https://tiles.example/{z}/{x}/{y}.png"):
        policy = client.get("/requests/new")["Content-Security-Policy"]
        assert "connect-src 'self' https://tiles.example;" in policy
        assert "unsafe" not in policy
        assert "tiles.example" not in client.get("/requests/")["Content-Security-Policy"]

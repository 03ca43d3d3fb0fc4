"""The desk in Dutch: each text of an app with a catalog has its translation, compiled, with the same values in it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from desk.people.roles import Role
from tests.desk.agencies import Agency, browser
from tests.desk.asking.asking_desk import drafted, fields, vouch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from desk_texts import Text, catalogs, compiled, missing, read_catalog, write_catalog

HOLE = re.compile(r"%\(\w+\)s|%%|\{\w+\}")


@pytest.mark.parametrize("path", catalogs(), ids=lambda path: path.parents[3].name)
def test_each_text_is_translated_with_the_same_values_and_compiled(path: Path) -> None:
    assert missing(path) == [], "run `python scripts/desk_texts.py --add`, and translate the new lines"
    catalog = read_catalog(path)
    assert path.with_suffix(".mo").read_bytes() == compiled(catalog), "run `python scripts/desk_texts.py`"
    for text, words in catalog.items():
        for each in words:
            assert sorted(HOLE.findall(each)) == sorted(HOLE.findall(text.single)), text


def test_one_text_has_one_translation_in_all_apps() -> None:
    """Django merges the catalogs, so a second translation would change the first app's page."""
    known: dict[str, tuple[str, ...]] = {}
    for path in catalogs():
        for text, words in read_catalog(path).items():
            assert known.setdefault(text.single, words) == words, text


def test_a_catalog_that_is_written_reads_the_same(tmp_path: Path) -> None:
    catalog = {Text('a "b"\n\\c'): ("é",), Text("%(n)s day", "%(n)s days"): ("%(n)s dag", "%(n)s dagen")}
    write_catalog(tmp_path / "django.po", catalog)
    assert read_catalog(tmp_path / "django.po") == catalog


def test_a_dutch_reader_gets_dutch_pages(agency: Agency) -> None:
    vouch(agency)
    agency.organisation.language = "nl"
    agency.organisation.save()
    draft, client = drafted(agency), agency.client(Role.ASKER)
    for path, words in {
        "/requests/": "Nieuw verzoek",
        "/requests/new?incident=burglary": "Hier is ingebroken",
        f"/requests/{draft.pk}": "Indienen ter goedkeuring",
        "/tips/": "Er is geen tip aangekomen",
        "/tips/bulletins": "Nog geen bericht",
    }.items():
        assert words in client.get(path, headers={"accept-language": "nl"}).content.decode(), path
    assert "Nog geen verzoek" in browser().get("/numbers", headers={"accept-language": "nl"}).content.decode()
    html = client.post("/requests/check", fields(radius_m="100"), headers={"accept-language": "nl"}).json()["html"]
    assert "Het gebied is te klein" in html

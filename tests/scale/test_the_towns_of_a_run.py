"""The towns of a run that publish may ask in the cells of the doorbells that must hear them."""

from __future__ import annotations

import tomllib

import pytest

from tests.scale.trust_root import _entry, _region_of, number_of_town


def region_of(number: int) -> dict[str, float]:
    name = f"agency-of-town-{number}"
    (town,) = tomllib.loads(_entry(name, "key", revoked=False, region=_region_of(name)))["requesters"]
    (region,) = town["regions"]
    return dict(region)


@pytest.mark.parametrize("column", range(8))
def test_the_first_town_of_a_column_has_the_place_of_its_bulletins_in_its_region(column: int) -> None:
    west = 4.5 + 0.5 * column
    region = region_of(number_of_town(west))
    assert region["south"] < 52.24 < 52.26 < region["north"]
    assert west < region["west"] < west + 0.24 < west + 0.26 < region["east"] < west + 0.5


def test_one_town_of_five_is_in_the_cells_of_the_shards() -> None:
    assert sum(region_of(number)["south"] > 52 for number in range(1, 3001)) == 600

"""Names with letters that can look like others are marked, and usual names are not."""

from __future__ import annotations

import pytest

from agent.wire.lookalikes import lookalikes

PLAIN = (
    "",
    "Rijnstad Police",
    "Politie Rijnstad, basisteam 3½",
    "Göteborgs polis",
    "Île-de-France – préfecture n° 2",
    "Công an Hà Nội",
    "شرطة أمستردام",
    "شرطة Amsterdam",
    "משטרת ישראל",
    "警視庁",
    "서울 경찰청",
    "पुलिस",
)
MARKED = {
    "Rijnst\u0430d Police": "\u0430",  # Cyrillic a
    "\u0420\u043elice": "\u0420\u043e",
    "\u0421\u041e\u0420\u0410": "\u0421\u041e\u0420\u0410",  # Cyrillic alone
    "\u0391thens": "\u0391",  # Greek Alpha
    "\uff30olice": "\uff30",  # full width
    "P\u0251lice": "\u0251",  # phonetic alpha
    "P\u09e6lice": "\u09e6",  # the Bengali zero, within a Latin word
    "\u216cocal": "\u216c",  # Roman numeral fifty
    "\U0001d5e3olice \U0001d5e3olice": "\U0001d5e3",  # mathematical P
    "\u13e2\u13a0": "\u13e2\u13a0",  # Cherokee
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_in_usual_letters_has_none(name: str) -> None:
    assert lookalikes(name) == ()


@pytest.mark.parametrize("name", MARKED)
def test_each_letter_that_can_look_like_another_is_named_once(name: str) -> None:
    assert "".join(lookalikes(name)) == MARKED[name]

"""Letters of a name that can look like others: for example, the Cyrillic letter U+0430 in the place of "a".

A word with Latin letters holds only Latin letters and digits, or it is mixed (Unicode Technical Standard 39,
"mixed-script detection"). In other words, letters of alphabets that readers tell from Latin ones, such as Arabic, are
usual. Letters of Cyrillic, Greek and many other alphabets are marked, because whole words of them can look Latin. So
are letters of full width. The mark is a remark for the reader and no refusal.

The page has the same rule (agent/web/src/wire/lookalikes.js).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["lookalikes"]

_LETTERS: Final = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01bf\u01c4-\u024f\u1e00-\u1eff"
"""Latin letters of languages. Those of phonetics, as U+0251, are left out."""
_LATIN: Final = f"0-9\u00aa\u00b2\u00b3\u00b5\u00b9\u00ba\u00bc-\u00be{_LETTERS}"
_OTHERS: Final = (
    "\u05d0-\u05f2\u0620-\u06ff\u0750-\u077f\u08a0-\u08ff"  # Hebrew, Arabic
    "\u0900-\u0fff\u1000-\u109f\u10d0-\u10ff\u1200-\u139f\u1780-\u17ff"  # India, Tibet, Burma, Georgia, Ethiopia, Khmer
    "\u1100-\u11ff\uac00-\ud7a3\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u30ff\u3105-\u312f"  # Korea, Japan
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003fffd"  # Chinese characters
)
_WORD: Final = re.compile(r"[^\W_]+")
_LATIN_LETTER: Final = re.compile(f"[{_LETTERS}]")
_USUAL_IN_LATIN: Final = re.compile(f"[{_LATIN}]")
_USUAL: Final = re.compile(f"[{_LATIN}{_OTHERS}]")


def lookalikes(name: str) -> tuple[str, ...]:
    """Returns the letters of `name` that can look like others, each once, in their order."""
    found: dict[str, None] = {}
    for word in _WORD.findall(name):
        usual = _USUAL_IN_LATIN if _LATIN_LETTER.search(word) else _USUAL
        found |= dict.fromkeys(each for each in word if not usual.match(each))
    return tuple(found)

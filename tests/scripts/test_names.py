"""A class name means one thing, and the glossary's words are the only ones for what they name."""

from __future__ import annotations

import ast
import contextlib
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.statements import statements

ROOT = Path(__file__).resolve().parents[2]
CODE = ("agent", "desk", "firmware_bridge")
APPLICATIONS = (("agent", "firmware_bridge"), ("desk",))
"""The desk has tables with names of their trade, for example a role and a checkpoint."""
_OPTIONS = "Meta"
"""Options of a model or a form of Django."""
_BUILT = ("agent/web/static/", "desk/static/", "tests/vectors/")
_ABOUT_PHRASES = ("docs/GLOSSARY.md", "tests/scripts/test_names.py")
_ORDINARY = frozenset({"Act", "Arrivals", "Cause", "Met", "Parcel", "Post", "Said", "Stand", "Visitors"})
"""Replaced words that mean something else as a part of a name, such as `post_roll_s`. Only the whole name counts."""
_MEANS_ANOTHER_THING = {
    "Anchor": ("agent/media/capture_signature.py",),
    "Sight": ("agent/core/motion/background.py", "agent/core/motion/presence.py"),
}
"""Files in which a replaced word is the field's word for something else."""
_ENUM = re.compile(r"^class (\w+)\([^)]*Enum\):\n((?:    .*\n|\n)+)", re.MULTILINE)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ROW = re.compile(r"^\| (?P<word>[^|]+) \| (?P<instead>[^|]+) \|$", re.MULTILINE)
_TERM = re.compile(r"^\| (?P<words>[^|]+) \| [^|]+ \| (?P<place>[^|]+) \|$", re.MULTILINE)


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"node_modules", "migrations"} & {*path.parts}
    ]


def identifiers(source: str) -> set[str]:
    """Names that the source defines: classes, functions, arguments, variables and attributes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


@pytest.fixture(scope="module")
def users() -> dict[str, list[str]]:
    """Which files define each name of the code."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in python_files(*CODE):
        for name in identifiers(path.read_text()):
            found[name].append(str(path.relative_to(ROOT)))
    return found


def twice(sources: dict[str, str]) -> dict[str, list[str]]:
    """Class names that several places define."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for place, source in sources.items():
        for node in statements(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and node.name != _OPTIONS:
                places[node.name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def retired_words() -> dict[str, str]:
    """The glossary's table of words that have been replaced: the old word and the one to use."""
    text = (ROOT / "docs" / "GLOSSARY.md").read_text()
    _, _, table = text.partition("## Words that are not used")
    return {
        row["word"].strip("` "): row["instead"].strip()
        for row in _ROW.finditer(table)
        if row["word"].strip("- ") and row["word"] != "not"
    }


def has_part(name: str, word: str) -> bool:
    """True if the name has the word, or its plural, as a part: `_anchor` and `first_anchors` have "Anchor"."""
    parts = [part.lower() for part in _PART.findall(name)]
    wanted = [part.lower() for part in _PART.findall(word)]
    found = [parts[at : at + len(wanted)] for at in range(len(parts) - len(wanted) + 1)]
    return wanted in found or [*wanted[:-1], wanted[-1] + "s"] in found


def glossary_terms() -> dict[str, str]:
    """Each term of the glossary, and the file in which one meets it."""
    text = (ROOT / "docs" / "GLOSSARY.md").read_text().partition("## Words that are not used")[0]
    rows = [row for row in _TERM.finditer(text) if row["words"] != "word" and row["words"].strip("-")]
    return {word.strip("` "): row["place"].strip("` ") for row in rows for word in row["words"].split(",")}


def terms_listed_twice(text: str) -> list[str]:
    """Words that stand in the first column of two rows."""
    rows = [row["words"] for row in _TERM.finditer(text) if row["words"] != "word" and row["words"].strip("-")]
    words = Counter(word.strip("` ") for words in rows for word in words.split(","))
    return [word for word, times in words.items() if times > 1]


def is_met_in(text: str, term: str) -> bool:
    """True if the text has the term: as words, or as a name such as `CoApproval` or `co_approval`."""
    pattern = r"[\s_\-#*/]*".join(re.escape(part) for part in re.split(r"[\s_-]+", term))
    return re.search(rf"(?<![A-Za-z]){pattern}", text, re.IGNORECASE) is not None


def replaced_phrases() -> dict[str, str]:
    """The glossary's table of phrases that no text uses: the phrase and the one to use."""
    _, _, table = (ROOT / "docs" / "GLOSSARY.md").read_text().partition("## Phrases that are not used")
    rows = [row for row in _ROW.finditer(table) if row["word"] != "not" and row["word"].strip("-")]
    return {row["word"].strip(): row["instead"].strip() for row in rows}


def phrase_faults(name: str, text: str) -> list[str]:
    """The places at which a text has a phrase that the glossary has replaced."""
    phrases = replaced_phrases()
    pattern = r"\b(" + "|".join(map(re.escape, phrases)).replace(r"\ ", r"[\s#*/]+") + r")\b"
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: '{match[1]}': write {instead}"
        for match in re.finditer(pattern, text, re.IGNORECASE)
        if (instead := phrases[" ".join(re.sub(r"[#*/]", " ", match[1].lower()).split())])
    ]


@pytest.mark.parametrize("folders", APPLICATIONS)
def test_no_class_name_means_two_things(folders: tuple[str, ...]) -> None:
    found = twice({str(path.relative_to(ROOT)): path.read_text() for path in python_files(*folders)})
    assert found == {}, "give each of these classes a name of its own"


def test_a_class_name_that_is_planted_twice_is_found() -> None:
    assert twice({"a.py": "class Zone: ...", "b.py": "def make():\n    class Zone: ..."}) == {"Zone": ["a.py", "b.py"]}


def enums_alike(sources: Iterable[str]) -> set[frozenset[str]]:
    """Names of enums that have the same words as values."""
    names: defaultdict[frozenset[str], set[str]] = defaultdict(set)
    for source in sources:
        for name, body in _ENUM.findall(source):
            words = frozenset(re.findall(r"^    [A-Z]\w* = ['\"](.*)['\"]$", body, re.MULTILINE))
            if len(words) > 1:
                names[words].add(name)
    return {frozenset(alike) for alike in names.values() if len(alike) > 1}


def test_no_two_enums_of_the_agent_and_the_bridge_have_the_same_words() -> None:
    """One type for each value. The words of a sealed file and of a part on the wire are the same on purpose."""
    found = enums_alike(path.read_text() for path in python_files("agent", "firmware_bridge"))
    assert found == {frozenset({"Content", "PartKind"})}


def test_a_second_enum_of_the_same_words_is_found() -> None:
    first = "class Zone(enum.Enum):\n    A = 'a'\n    B = 'b'\n"
    assert enums_alike([first, "class Kind(enum.Enum):\n    ONE = 'b'\n    TWO = 'a'\n"]) == {
        frozenset({"Zone", "Kind"})
    }
    assert enums_alike([first, "class Kind(enum.Enum):\n    ONE = 'b'\n    TWO = 'c'\n"]) == set()


def test_no_package_gives_a_name_that_one_of_its_modules_has() -> None:
    """Otherwise `from package import name` gives the function only until the module of that name is imported."""
    both = [
        f"{path.parent.relative_to(ROOT)}: {alias.asname or alias.name}"
        for path in python_files(*CODE)
        if path.name == "__init__.py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (path.parent / f"{alias.asname or alias.name}.py").exists()
        and node.module != ".".join(path.parent.relative_to(ROOT).parts)
    ]
    assert both == []


def test_the_glossary_lists_words_that_are_not_used() -> None:
    assert len(retired_words()) >= 20


@pytest.mark.parametrize("word", sorted(retired_words()))
def test_no_name_in_the_code_uses_a_word_that_the_glossary_has_replaced(users: dict[str, list[str]], word: str) -> None:
    elsewhere = _MEANS_ANOTHER_THING.get(word, ())
    found = {
        name: files
        for name, places in users.items()
        if (name == word if word in _ORDINARY else has_part(name, word))
        and (files := [place for place in places if place not in elsewhere])
    }
    assert found == {}, f"the glossary says {retired_words()[word]}"


def test_a_replaced_word_is_found_as_a_part_of_a_name() -> None:
    for name in ("Anchor", "_anchor", "first_anchors", "AnchorOfBoot", "ANCHOR_US"):
        assert has_part(name, "Anchor"), name
    assert not has_part("anchorage", "Anchor")
    assert has_part("_held_back", "HeldBack")
    assert not has_part("back_held", "HeldBack")


def test_each_exception_is_a_replaced_word_that_is_still_used() -> None:
    assert retired_words().keys() >= _ORDINARY | _MEANS_ANOTHER_THING.keys()
    for word, files in _MEANS_ANOTHER_THING.items():
        for file in files:
            assert any(has_part(name, word) for name in identifiers((ROOT / file).read_text())), (word, file)


def test_every_backticked_name_of_the_glossary_exists_in_the_code() -> None:
    text = (ROOT / "docs" / "GLOSSARY.md").read_text().partition("## Words that are not used")[0]
    listed = subprocess.run(
        ["git", "ls-files", *CODE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    code = "\n".join(
        (ROOT / name).read_text(errors="ignore") for name in listed if name.endswith((".py", ".md", ".js"))
    )
    names = set(re.findall(r"`([A-Za-z_][A-Za-z0-9_]+)`", text))
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()


def test_the_glossary_names_a_place_for_each_word() -> None:
    assert len(glossary_terms()) >= 70


def test_the_glossary_gives_each_word_one_meaning() -> None:
    text = (ROOT / "docs" / "GLOSSARY.md").read_text().partition("## Words that are not used")[0]
    assert terms_listed_twice(text) == []
    assert terms_listed_twice(f"{text}\n| hold, frame | another thing | `a.py` |\n") == ["frame", "hold"]


@pytest.mark.parametrize("term", sorted(glossary_terms()))
def test_each_word_of_the_glossary_is_met_where_the_glossary_says(term: str) -> None:
    place = ROOT / glossary_terms()[term]
    assert is_met_in(place.read_text(encoding="utf-8"), term), f"'{term}' is not in {place}: mend docs/GLOSSARY.md"


def test_a_word_that_is_not_there_is_noticed() -> None:
    assert is_met_in("class CoApproval:", "co-approval")
    assert is_met_in("# A trust\n# root signs.", "trust root")
    assert not is_met_in("A rootkit signs.", "trust root")
    assert not is_met_in("reformed", "form")


def test_no_text_uses_a_phrase_that_the_glossary_has_replaced() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: list[str] = []
    for name in filter(None, listed.split("\0")):
        if name in _ABOUT_PHRASES or name.startswith(_BUILT) or not (ROOT / name).is_file():
            continue
        with contextlib.suppress(UnicodeDecodeError):  # pictures, films and sealed files
            found += phrase_faults(name, (ROOT / name).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_a_planted_phrase_is_found_also_across_two_lines() -> None:
    assert phrase_faults("a.py", "x = 1\n# A second\n# opinion.\n") == [
        "a.py:2: 'second\n# opinion': write object detection"
    ]
    assert phrase_faults("a.md", "See docs/decisions/0012-the-second-opinion.md.") == []

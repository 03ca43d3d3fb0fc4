"""The commands, names and links in the documents exist."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from agent.cli.app import doorward

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0")[:-1] if listed.returncode == 0 else []
    # Without git, in a copy, the first level has to do.
    return sorted(ROOT / name for name in names) or sorted(ROOT.glob("*.md"))


def spans(text: str) -> list[str]:
    """Returns the text between backticks, outside of blocks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def commands(text: str, word: str) -> Iterator[list[str]]:
    """Each `word …` of a code block or between backticks, as a shell would split it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *spans(text)]:
        for part in re.split(r"&&|;|\|", line.partition(" #")[0]):
            try:
                words = shlex.split(part.strip())
            except ValueError:
                continue
            if words[:1] == ["sudo"]:
                words = words[1:]
            if words[:1] == [word] and len(words) > 1:
                yield words[1:]


def missing_in(words: list[str]) -> str | None:
    """Returns the first word of a `doorward` command line that does not exist."""
    command: click.Command = doorward
    context = click.Context(doorward)
    path = ["doorward"]
    for word in words:
        if word.startswith("-"):
            known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
            if word.partition("=")[0] not in known:
                return f"{' '.join(path)} {word}"
        elif isinstance(command, click.Group) and re.fullmatch("[a-z-]+", word):
            inner = command.get_command(context, word)
            if inner is None:
                return f"{' '.join(path)} {word}"
            command = inner
            path.append(word)
    return None


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_it_exists_and_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [found for words in commands(text, "doorward") if (found := missing_in(words))] == []
    assert [words[0] for words in commands(text, "make") if re.fullmatch("[a-z-]+", words[0])
            and words[0] not in TARGETS] == []  # fmt: skip
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name) if name else path
        assert found.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


PLACES = ("", "agent", "agent/core")
"""Folders in which a path in a document may begin, besides its own."""
MADE = (".cache/", "build/", "demo/report.html", "demo/summary.json")
"""Files that a command makes."""
FILE = r"[\w.-]+(?:/[\w.*-]+)*\.(?:c|cfg|conf|html|in|json|md|mjs|mp4|png|pub|py|sh|svg|toml|txt|yaml)"


@cache
def sources() -> dict[str, str]:
    """Path → text of our Python."""
    folders = ("agent", "bench", "demo", "firmware_bridge", "scripts", "tests")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in found}


@cache
def keys() -> frozenset[str]:
    """Every table and key of the configuration, dotted."""
    schema = json.loads((ROOT / "config" / "doorward.schema.json").read_text())
    found: set[str] = set()

    def walk(node: dict[str, Any], above: str) -> None:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for name, inner in node.get("properties", {}).items():
            found.add(above + name)
            walk(inner, f"{above}{name}.")
        for inner in [node.get("items", {}), *node.get("anyOf", []), *node.get("allOf", [])]:
            if inner:
                walk(inner, above)

    walk(schema, "")
    return frozenset(found)


def is_there(name: str, folder: Path) -> bool:
    begins = [ROOT / place for place in PLACES] + [folder]
    paths = [Path(posixpath.normpath(begin / name)) for begin in begins]
    return any(path.exists() or ("*" in name and any(path.parent.glob(path.name))) for path in paths)


def absent(span: str, folder: Path) -> bool:
    """Returns True if `span` names a file, module, test or key of the configuration that is missing."""
    if span.startswith(("/", *MADE)):
        return False
    if found := re.match(rf"({FILE})::(\w+)", span):
        return f"def {found[2]}(" not in sources().get(found[1], "")
    if found := re.match(r"python -m ((?:bench|tests|demo|firmware_bridge)[\w.]*)", span):
        path = found[1].replace(".", "/")
        return not {f"{path}.py", f"{path}/__main__.py"} & sources().keys()
    if found := re.fullmatch(r"(test_\w+)(…?)", span):
        ends = "" if found[2] else "("
        files = found[1] in {Path(path).stem for path in sources()}
        return not files and not any(f"def {found[1]}{ends}" in text for text in sources().values())
    if re.fullmatch(FILE, span):
        # Without a folder it is a reader's own file, or one of ours that the sentence makes clear.
        return not is_there(span, folder) and ("/" in span or (span.endswith(".py") and not _known(span)))
    if found := re.fullmatch(r"\[+([a-z_.]+)\]+|([a-z_]+\.[a-z_]+)(?: = .*)?", span):
        name = found[1] or found[2]
        return (bool(found[1]) or name.partition(".")[0] in keys()) and name not in keys()
    return False


def _known(name: str) -> bool:
    return any(path.endswith(f"/{name}") for path in sources())


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_module_test_and_key_it_names_is_there(path: Path) -> None:
    assert [span for span in spans(path.read_text("utf-8")) if absent(span, path.parent)] == []


def unknown_sources(text: str) -> list[str]:
    """Documents that are not here and that `text` refers to: by a name in capitals, or by a decision's number."""
    written = {path.name for path in documents()}
    told = [name for name in re.findall(r"\b[A-Z]{4,}\.md\b", text) if name not in written]
    told += re.findall(r"\b[A-Z]{4,}(?=, invariants? \d)", text)
    numbers = re.findall(r"\bdocs/decisions/(\d{4})\b", text)
    return told + [number for number in numbers if not any(name.startswith(number) for name in written)]


def test_our_sources_refer_to_no_document_that_is_not_here() -> None:
    others = {path: text for path, text in sources().items() if ROOT / path != Path(__file__)}
    assert {path: told for path, text in others.items() if (told := unknown_sources(text))} == {}


POINTER = re.compile(r'([\w./-]*\b[A-Z]{4,}\.md)[`)]*,(?:\s|#|\*|//)+"([^"]+)"')
"""A document in capitals and the section of it: FORMAT.md, "Manifest"."""
MAIN = {"PROTOCOL.md": "agent/wire/PROTOCOL.md"}
"""The document that a bare name means, where two have it."""


@cache
def sections(path: Path) -> frozenset[str]:
    """Headings without number and backticks, and the bold starts of paragraphs."""
    text = path.read_text("utf-8")
    heads = re.findall(r"^#+ (?:\d+\. )?(.+)$", text, re.MULTILINE) + re.findall(
        r"^\*\*([^*]+?)\.?\*\*", text, re.MULTILINE
    )
    return frozenset(head.replace("`", "") for head in heads)


def dead_pointers(text: str) -> list[str]:
    """Sections that `text` refers to and that their document lacks."""
    dead = []
    for name, section in POINTER.findall(text):
        wanted = MAIN.get(name, re.sub(r"^(?:\.*/)+", "", name))
        found = [path for path in documents() if f"/{path.relative_to(ROOT)}".endswith(f"/{wanted}")]
        words = re.sub(r"\s+(?:# |\* |// )?", " ", section)
        if not any(words in sections(path) for path in found):
            dead.append(f"{name}, {words}")
    return dead


def texts() -> dict[str, str]:
    """Path → text of the sources and documents that may refer to a section."""
    page, desk = ROOT / "agent" / "web" / "src", ROOT / "desk"
    scripts = [path for path in page.rglob("*.js") if "node_modules" not in path.parts]
    more = [*documents(), *scripts, *desk.rglob("*.py"), *(desk / "web").glob("*.js")]
    found = sources() | {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in more}
    return {path: text for path, text in found.items() if ".md" in text}


def test_every_section_that_is_referred_to_is_in_its_document() -> None:
    told = {path: text for path, text in texts().items() if ROOT / path != Path(__file__)}
    assert any(path.startswith("agent/web/src/") for path in told)
    assert sum(len(POINTER.findall(text)) for text in told.values()) >= 60
    assert {path: dead for path, text in told.items() if (dead := dead_pointers(text))} == {}


def test_the_check_knows_a_section_that_is_there_from_one_that_is_not() -> None:
    there = 'FORMAT.md, "Manifest"; PROTOCOL.md, "footage-request"; [LEDGER.md](../LEDGER.md), "Time by\n# others"'
    assert dead_pointers(f'{there}; `firmware_bridge/PROTOCOL.md`, "Pins"; PROTOCOL.md, "Approval"') == []
    assert dead_pointers('PROTOCOL.md, "Pins"; FORMAT.md,\n# "Wear"') == ["PROTOCOL.md, Pins", "FORMAT.md, Wear"]


def test_the_check_knows_the_documents() -> None:
    assert unknown_sources("Source: FORMAT.md, invariant 9; docs/decisions/0014; SECURITY.md, promise 4.") == []
    elsewhere = "Source: BLUEPRINT, invariant 1; ELSEWHERE.md; docs/decisions/9999."
    assert unknown_sources(elsewhere) == ["ELSEWHERE.md", "BLUEPRINT", "9999"]


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("core/consent.py", False),
        ("core/consents.py", True),
        ("tests/core/test_consent.py::test_an_end_is_an_end_and_every_request_can_come_to_one", False),
        ("tests/core/test_consent.py::test_an_end", True),
        ("test_the_check_catches_…", False),
        ("test_the_check_misses_…", True),
        ("python -m bench.day 24", False),
        ("python -m bench.night", True),
        ("clips.segment_s", False),
        ("clips.segments_s", True),
        ("[privacy.hours]", False),
        ("[privacy.days]", True),
        ("manifest.json", False),
    ],
)
def test_the_check_knows_what_is_there_from_what_is_not(span: str, wrong: bool) -> None:
    assert absent(span, ROOT) is wrong


def test_the_check_finds_what_is_not_there() -> None:
    text = "```sh\nsudo doorward vault lst  # none\ndoorward status --wach\n```\n`doorward owner trust bundle FILE`"
    found = [missing_in(words) for words in commands(text, "doorward")]
    assert found == ["doorward vault lst", "doorward status --wach", None]
    assert list(commands("so `make tea` it", "make")) == [["tea"]]


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")]
    assert [number for number, times in Counter(numbers).items() if times > 1] == []


def pages_left_out(index: str, pages: list[str]) -> list[str]:
    """Pages without a link in the index; names and links are relative to docs/."""
    links = {posixpath.normpath(link.partition("#")[0]) for link in re.findall(r"\]\(([^)]+)\)", index)}
    return [page for page in pages if page not in links]


def test_each_page_of_docs_is_in_its_index() -> None:
    docs = ROOT / "docs"
    pages = [path.name for path in docs.glob("*.md") if path.name != "README.md"]
    pages += [f"security/{path.name}" for path in (docs / "security").glob("*.md")]
    assert len(pages) > 20
    assert pages_left_out((docs / "README.md").read_text(), sorted(pages)) == []


def test_a_page_without_a_link_is_found() -> None:
    assert pages_left_out("[a](a.md#one), [b](./security/b.md)", ["a.md", "security/b.md", "c.md"]) == ["c.md"]

"""Checks of the page's JavaScript: each refuses a planted violation."""

from __future__ import annotations

import collections
import json
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lengths import LONG
from tests.web import page_types

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "agent" / "web" / "src"
TOOLS = SOURCE / "node_modules" / ".bin"
LONGEST_LINE = 120


FIELDS = {"FootageRequest": "not_after: number", "Enrolment": "approvals_needed?: 1 | 2", "Approval": "clips?:"}
"""Message: a member of it, which gets another name on the device."""
AGREES = "Receipt"
ASKED = {
    "an argument of another name": ('ask("checkpoint", { old_size:', 'ask("checkpoint", { size:'),
    "no argument": ('ask("checkpoint", { old_size: before?.size ?? 0 })', 'ask("checkpoint")'),
    "an operation of another name": ('ask("checkpoint", {', 'ask("checkpoints", {'),
}
"""Mistake: the good text in owner/sync.js and the bad one."""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A copy of the page's sources at their place, to be spoiled."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The type check's output for a page with one mistake for each test. One run takes seconds, so they share it."""
    page = copied(tmp_path_factory.mktemp("spoiled"))
    generated = page / "wire" / "generated.d.ts"
    for message, field in FIELDS.items():
        before, declared, after = generated.read_text().partition(f"export interface {message} {{")
        body, end, rest = after.partition("}")
        assert field in body
        generated.write_text(before + declared + body.replace(field, f"other_{field}") + end + rest)
    agreement = (page / "wire" / "agreement.ts").read_text()
    for message in (*FIELDS, AGREES):  # tsc names only the first error of a list of types
        lines = [line for line in agreement.splitlines() if "Reads<typeof " not in line or f" Wire.{message}>" in line]
        assert len(lines) < len(agreement.splitlines())
        (page / "wire" / f"agreement_{message}.ts").write_text("\n".join(lines))
    live = page / "pages" / "live.js"
    live.write_text(live.read_text().replace('call("live", {', 'call("alive", {'))
    text = (page / "owner" / "sync.js").read_text()
    for number, (good, bad) in enumerate(ASKED.values()):
        assert good in text
        (page / "owner" / f"sync_{number}.js").write_text(text.replace(good, bad))
    checked = types_of(page)
    assert checked.returncode != 0
    return checked.stdout


def copied(folder: Path) -> Path:
    if not (TOOLS / "tsc").exists() or not (TOOLS / "biome").exists():
        pytest.skip("the JavaScript tools are missing: run `make setup-test`")
    copy = folder / "agent" / "web" / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(SOURCE / "node_modules")
    shutil.copytree(SOURCE.parent / "texts", folder / "agent" / "web" / "texts")
    shutil.copy(ROOT / "biome.json", folder)
    return copy


def types_of(page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / "tsc", "-p", "."], cwd=page, capture_output=True, text=True, check=False, timeout=300
    )


def lint_of(page: Path) -> subprocess.CompletedProcess[str]:
    command = [TOOLS / "biome", "ci", "--error-on-warnings", "agent"]
    return subprocess.run(command, cwd=page.parents[2], capture_output=True, text=True, check=False, timeout=300)


def test_the_types_of_the_pages_messages_are_those_of_the_devices() -> None:
    assert page_types.TARGET.read_text(encoding="utf-8") == page_types.source(), "run `make page-types`"
    assert page_types.BOUNDS.read_text(encoding="utf-8") == page_types.bounds(), "run `make page-types`"
    written = page_types.MESSAGE_BOUNDS.read_text(encoding="utf-8")
    assert written == page_types.message_bounds(), "run `make page-types`"


@LONG
def test_the_page_as_it_is_passes(page: Path) -> None:
    """In `make test` the static checks say so."""
    assert types_of(page).stdout == ""
    lint = lint_of(page)
    assert lint.returncode == 0, lint.stderr


@LONG
@pytest.mark.parametrize("message", FIELDS)
def test_a_field_of_another_name_on_the_device_fails_the_type_check(complaints: str, message: str) -> None:
    assert "wire/agreement.ts(" in complaints
    assert f"wire/agreement_{message}.ts(" in complaints


def test_the_type_check_names_no_message_that_agrees(complaints: str) -> None:
    assert f"wire/agreement_{AGREES}.ts(" not in complaints


def test_an_operation_that_the_worker_does_not_have_fails_the_type_check(complaints: str) -> None:
    assert '"alive"' in complaints


@pytest.mark.parametrize("number", range(len(ASKED)), ids=list(ASKED))
def test_an_operation_asked_otherwise_than_the_device_answers_fails_the_type_check(
    complaints: str, number: int
) -> None:
    assert f"owner/sync_{number}.js" in complaints
    assert "owner/sync.js" not in complaints


def test_an_import_cycle_is_refused(page: Path) -> None:
    boxes = page / "wire" / "boxes.js"
    text = boxes.read_text()
    assert '"../errors.js";' in text
    boxes.write_text(text.replace('"../errors.js";', '"../errors.js";\nimport "./segment.js";'))
    lint = lint_of(page)
    assert lint.returncode != 0
    assert "noImportCycles" in lint.stderr + lint.stdout


EXPORT = re.compile(r"^export (?:async )?(?:const|let|function\*?|class) (\w+)", re.MULTILINE)


def unused_exports(sources: dict[str, str]) -> list[str]:
    """Exports whose name stands in no other place of any source."""
    words = collections.Counter(word for text in sources.values() for word in re.findall(r"\w+", text))
    return [f"{name}: {each}" for name, text in sources.items() for each in EXPORT.findall(text) if words[each] == 1]


def test_the_page_has_no_export_that_nothing_uses() -> None:
    files = [path for path in SOURCE.rglob("*.js") if "node_modules" not in path.parts]
    assert SOURCE / "app.js" in files
    assert unused_exports({str(path.relative_to(SOURCE)): path.read_text("utf-8") for path in files}) == []


def test_a_planted_unused_export_is_found() -> None:
    one_of_two = "export const one = 1;\nexport async function two() {}\n"
    sources = {"a.js": one_of_two, "b.js": "import { one } from './a.js';"}
    assert unused_exports(sources) == ["a.js: two"]


BUILT = ("agent/web/static/", "desk/static/asking/", "desk/static/neighbourhood/")
"""Bundles, made by `make page` and `make desk-page`."""
TYPED = (
    "agent/web/src/tsconfig.json",
    "agent/web/src/tsconfig.service.json",
    "desk/web/tsconfig.json",
    "tests/desk/tsconfig.json",
    "tests/web/tsconfig.json",
)


def written() -> list[str]:
    """The scripts of the repository that people write."""
    patterns = ["*.js", "*.mjs", "*.ts"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [name for name in listed.stdout.splitlines() if not name.startswith(BUILT) and (ROOT / name).exists()]
    assert {"agent/web/src/app.js", "desk/static/desk/passkeys.js"} <= {*found}
    return found


def unmatched(names: Iterable[str], globs: Iterable[str]) -> list[str]:
    """The names that no glob matches: `*` is any text without a slash, `**/` any folders."""
    ways = [
        re.escape(glob).replace(r"\*\*/", "(?:[^/]+/)*").replace(r"\*", "[^/]*") for glob in globs if glob[0] != "!"
    ]
    return [name for name in names if not any(re.fullmatch(way, name) for way in ways)]


def test_every_script_that_people_write_is_linted_and_formatted() -> None:
    includes = json.loads((ROOT / "biome.json").read_text())["files"]["includes"]
    assert unmatched([name for name in written() if not name.endswith("generated.d.ts")], includes) == []


def test_every_script_that_people_write_has_its_types_checked() -> None:
    globs = []
    for name in TYPED:
        settings = json.loads((ROOT / name).read_text())
        globs += [posixpath.normpath(posixpath.join(posixpath.dirname(name), each)) for each in settings["include"]]
    assert unmatched(written(), globs) == []


def test_a_script_outside_of_the_checks_is_found() -> None:
    names = ["desk/static/desk/new.js", "agent/web/src/a/b.js", "agent/web/src/b.js", "agent/web/other/b.js"]
    assert unmatched(names, ["agent/web/src/**/*.js", "!desk/static/desk/*.js"]) == [names[0], names[3]]
    assert unmatched(names[:1], ["desk/static/desk/*.js"]) == []


def test_no_line_of_javascript_is_longer_than_the_pythons() -> None:
    """The formatter breaks code and leaves comments and texts as they are."""
    found = [ROOT / name for name in written()]
    too_long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in found
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]
    assert not too_long

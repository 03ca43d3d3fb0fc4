"""Mutation testing: `python -m tests.mutation.run [OPTION …] [FILE …]` (make mutate).

For example, `--every=8 custodian page` tries one mutant of eight in two groups, and `clients/owner/decisions.py` all of
one file.

- A group is a set of files and the tests that mirror them (`GROUPS`).  Without a name every group runs.
- `--functions` and `--definitions` do one half only.  `--every=N` takes one mutant of N, and
  `--first=K` starts with the K-th.  `--sample=N --seed=S` draws N of each group at random.  `--again` tries the
  survivors of the last run again.  `--budget=S` gives a mutant up as a survivor after tests that take S seconds
  together on sound code, and leaves out a test that does not fit in.  `--unpassed` tries no mutant and lists those on
  lines that no test passes.
- The tests of a group run once on sound code, and the runner records which test passes which line.  Later runs record
  new tests, changed tests and those that failed only, unless they have `--record`.  The record is kept every hundred
  tests.
- The result is kept after each mutant.  The same command on the same code goes on where a run was cut off.
- For each mutant of `mutants.py` the group's tests run until one fails.  A mistake in a function is made in a fork of a
  process that has everything imported and collected.  The function gets another code object, and only the tests that
  pass its line run: first the test that noticed the last mistake in this file, then those that are named after the
  module, and of each those that are quick and pass much of it.  If the record has no test at the line, those that
  pass its function run.
- `--jobs=N` runs N groups at once.
- `--tests=PATTERN,PATTERN` runs these tests instead of all of the group, so the share that is noticed is too low.
- A mistake in a definition is made as the module is imported.
- The Pythons that a test starts count too: they note the lines that they pass, and they import the module with the
  mistake (`in_children/sitecustomize.py`).
- A test that fails counts only if it passes on sound code in a fork like that.
- Survivors are listed and written to `.cache/mutation.json`.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import gc
import importlib
import inspect
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import hypothesis
import pytest

from scripts.branches import CODE, TESTS
from tests.mutation.in_children import sitecustomize as in_children
from tests.mutation.mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / ".cache" / "mutation.json"
NOTICED_BY = ROOT / ".cache" / "mutation-noticed-by.txt"
"""Each mistake that was noticed, after how long and by which test."""
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:rerunfailures", "--timeout=0", "--capture=no"]
QUIET += ["--tb=native", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
SLOWER = 4
PATIENCE_S = 20.0
"""A mutant counts as noticed when a test runs for this many seconds plus four times what it takes without a mistake,
or when all tests of the mutant do so together.

On a busy machine it may run longer: as many times as there are more processes that want to run than processors, and at
most `LONGEST` times.
"""
LONGEST = 3.0
RECORDED_AT_ONCE = 100
"""The number of tests after which the record is kept, so that a run that is cut off loses no more."""
_JOINED_SHARE = 0.1
"""Tests of a group are recorded again if a larger share of a module's lines is new."""
MOST_LEFT_OUT = 0.02
"""Stop if a larger share of a group's tests fails on sound code."""
GOAL = 0.95


@dataclass(frozen=True)
class Group:
    """Files (globs below the repository) and the tests that mirror them.  `quickest`: tried first on a definition.

    `tests` are files, folders and globs.
    """

    name: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    quickest: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Files that another group holds."""
    variant: str = ""
    """Marks the group with other tests, in the names of its record and result."""

    def test_files(self) -> list[str]:
        """The files and folders that pytest collects.  Raises AssertionError if a pattern fits nothing."""
        found = []
        for pattern in self.tests:
            fitting = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
            assert fitting, f"{self.name}: no test is at {pattern}"
            found += fitting
        return found


GROUPS = (
    Group(
        "consent",
        (*(f"agent/core/{name}" for name in CODE), "agent/wire/*.py"),
        (*(f"tests/core/{name}" for name in TESTS), "tests/wire"),
        ("tests/wire/test_schemas.py",),
    ),
    # -- the rooms of the doorbell's processes
    Group("recorder", ("agent/recorder/*.py",), ("tests/recorder/test_*.py",)),
    Group(
        "vault",
        ("agent/vault/*.py",),
        (
            "tests/recorder/test_vault*.py",
            "tests/recorder/test_chapters.py",
            "tests/recorder/test_starting_and_stopping.py",
            "tests/recorder/test_index_copy.py",
            "tests/custodian/test_vault_follower.py",
            "tests/contracts/test_index.py",
        ),
    ),
    Group(
        "custodian",
        ("agent/custodian/*.py",),
        # Live view, the index and the control socket are tested beside what they serve.
        (
            "tests/custodian/test_*.py",
            "tests/ipc",
            "tests/contracts/test_index.py",
            "tests/recorder/test_live_view.py",
        ),
        without=("agent/custodian/journal_sqlite.py",),
    ),
    Group("alerts", ("agent/custodian/alerts/*.py",), ("tests/custodian/alerts",)),
    Group("page", ("agent/custodian/page/*.py",), ("tests/custodian/page",)),
    # The senders of alerts are tested beside what hands them their messages.
    Group("uplink", ("agent/uplink/*.py",), ("tests/uplink", "tests/custodian/alerts")),
    Group("ipc", ("agent/ipc/*.py",), ("tests/ipc", "tests/contracts/test_outbox.py")),
    Group(
        "journal",
        ("agent/custodian/journal_sqlite.py",),
        ("tests/contracts/test_journal.py", "tests/custodian/test_requests_on_the_disk.py"),
    ),
    # -- the clients
    Group(
        "owner",
        ("agent/clients/owner/*.py",),
        # Live view, the socket and the notice of a theft are tested beside what answers or reads them.
        (
            "tests/clients/owner",
            "tests/recorder/test_live_view.py",
            "tests/ipc/test_rpc_server.py",
            "tests/clients/requester/test_known_doorbells.py",
            "tests/core/test_live.py",
            "tests/recorder/test_chapters.py",
            "tests/clients/test_relay_carrier*.py",
        ),
    ),
    Group("requester", ("agent/clients/requester/*.py",), ("tests/clients/requester",)),
    Group(
        "opening",
        ("agent/clients/opening/*.py",),
        (
            "tests/core/vault",
            "tests/core/test_sframe.py",
            "tests/clients/owner/test_keys.py",
            "tests/clients/owner/test_sealed_footage.py",
            "tests/clients/owner/test_live_stream.py",
            "tests/clients/requester/test_identity.py",
            "tests/clients/requester/test_opened_disclosure.py",
            "tests/clients/requester/test_redacted_answers.py",
        ),
    ),
    Group(
        "redaction",
        ("agent/clients/media/*.py",),
        (
            "tests/clients/media",
            "tests/media",
            "tests/clients/owner/test_redaction.py",
            "tests/clients/requester/test_redacted_answers.py",
            "tests/clients/requester/test_hostile_media.py",
            "tests/clients/requester/test_clips.py",
        ),
    ),
    # -- what several processes share
    Group(
        "updates",
        ("agent/updater/*.py", "agent/core/updates.py"),
        (
            "tests/updater",
            "tests/core/test_updates.py",
            "tests/custodian/test_updates.py",
            "tests/custodian/test_releases.py",
            "tests/cli/test_update.py",
        ),
    ),
    Group(
        "trust",
        ("agent/core/trust_change.py", "agent/core/trust_chunks.py"),
        (
            "tests/core/test_trust_change.py",
            "tests/core/test_trust_chunks.py",
            "tests/custodian/test_trust_that_travels.py",
            "tests/custodian/test_owners_and_trust.py",
        ),
    ),
    Group(
        "sealing",
        ("agent/core/vault/*.py", "agent/core/vault/age/*.py", "agent/core/sframe.py", "agent/core/live.py"),
        ("tests/core/vault", "tests/core/test_sframe.py", "tests/core/test_live.py"),
        without=("agent/core/vault/following.py",),
    ),
    Group(
        "link",
        ("agent/wire/link/*.py", "agent/clients/relay_carrier.py"),
        ("tests/wire/link", "tests/clients/test_relay_carrier*.py"),
    ),
    Group(
        "core",
        (
            "agent/core/*.py",
            "agent/core/alerts/*.py",
            "agent/core/talk/*.py",
            "agent/core/transfer/*.py",
            "agent/mqtt/pacing.py",
        ),
        (
            "tests/core/test_*.py",
            "tests/core/alerts",
            "tests/core/talk",
            "tests/core/transfer",
            "tests/mqtt/test_fair_queue.py",
            "tests/mqtt/test_inbound.py",
            "tests/mqtt/test_pacing.py",
        ),
        without=(
            *(f"agent/core/{name}" for name in CODE),
            *(f"agent/core/{name}.py" for name in ("updates", "trust_change", "trust_chunks", "sframe", "live")),
        ),
    ),
    Group("media", ("agent/media/*.py",), ("tests/media",)),
)

# A failure is enough. Shrinking the example takes longer than all tests that passed before.
hypothesis.settings.register_profile(
    "mutation",
    derandomize=True,
    max_examples=40,
    database=None,
    deadline=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)


def modules(group: Group, named: Sequence[str]) -> list[Path]:
    """The files of the group that are named, by the end of their path or by the group's name.  No name means all."""
    found = []
    for pattern in group.code:
        fitting = [path for path in sorted(ROOT.glob(pattern)) if path.suffix == ".py"]
        assert fitting, f"{group.name}: no module is at {pattern}"
        found += [path for path in fitting if str(path.relative_to(ROOT)) not in group.without]
    if not named or group.name in named:
        return found
    return [path for path in found if any(str(path).endswith(name) for name in named)]


@dataclass
class Draw:
    """The mutants to try: one of `every`, `size` at random (all if None), or the survivors of the last run."""

    paths: Sequence[Path]
    first: int = 0
    every: int = 1
    size: int | None = None
    seed: int = 1
    again: frozenset[tuple[str, int, str]] | None = None
    unpassed: bool = False
    """Only list the mutants on lines that no test passes."""
    record: bool = False
    """Run every test once more on sound code."""
    budget_s: float | None = None
    """Limit on the time of one mutant's tests: only the quickest that pass its line and fit in run."""

    def mutants(self, *, in_function: bool) -> list[tuple[Path, Mutant]]:
        """In the order of the files and lines. A sample comes in random order, so that a part of it is a sample too."""
        found = []
        for path in self.paths:
            all_here = (mutant for mutant in mutants_of(path.read_text()) if mutant.function is in_function)
            found += [(path, mutant) for mutant in itertools.islice(all_here, self.first, None, self.every)]
        if self.again is not None:
            return [each for each in found if _key(*each) in self.again]
        if self.size is not None and self.size < len(found):
            chosen = random.Random(self.seed).sample(range(len(found)), self.size)
            return [found[number] for number in chosen]
        return found


def _key(path: Path, mutant: Mutant) -> tuple[str, int, str]:
    return str(path.relative_to(ROOT)), mutant.line, mutant.what


@dataclass
class Score:
    """`survived`: file, line and mistake.  `left_out`: tests that fail even without a mistake."""

    killed: int = 0
    too_long: int = 0
    """The number of times that a test took too long."""
    survived: list[tuple[str, int, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    of: int | None = None
    """Identifies the mutants, the code and the tests, to go on after a cut."""

    def tried(self) -> int:
        return self.killed + len(self.survived)

    def note(self, path: Path, mutant: Mutant, by: str | None, took_s: float) -> None:
        place = f"{path.relative_to(ROOT)}:{mutant.line}  {mutant.what}"
        if by is not None:
            self.killed += 1
            with NOTICED_BY.open("a") as file:
                file.write(f"{took_s:6.1f} s  {place}  {by}\n")
        else:
            self.survived.append(_key(path, mutant))
            print(f"  survived  {place}  ({took_s:.0f} s)", flush=True)


Act = Callable[[Callable[[str], None]], str | None]
"""Runs tests, tells the name of each as it starts, and returns the one that failed."""


def run_in_fork(
    act: Act,
    patience_s: Callable[[str], float],
    base: Path | None = None,
    score: Score | None = None,
    all_s: float = math.inf,
) -> str | None:
    """Run `act` in a fork. Returns the test that failed, died or took longer than `patience_s` of its name, or the one
    that ran when all together had taken longer than `all_s`."""
    sys.stdout.flush()
    shared = set(base.iterdir()) if base is not None else set()  # folders of the session's fixtures
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a mutant that hangs is killed with every process that it has started
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
        try:
            failed = act(lambda name: _write_line(writer, name)) is not None
        except BaseException:  # noqa: BLE001 — whatever it is, it was noticed
            failed = True
        os._exit(1 if failed else 0)
    os.close(writer)
    name, status = _follow(child, reader, patience_s, all_s)
    os.close(reader)
    if score is not None and status is None:
        score.too_long += 1
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also ends what the last test left behind
    if status is None:
        os.waitpid(child, 0)
    for left in set(base.iterdir()) - shared if base is not None else ():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    return None if status == 0 else name


def _busy() -> float:
    """Returns how many times longer a test may take at the present load."""
    return min(LONGEST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def _write_line(writer: int, name: str) -> None:
    os.write(writer, name.encode() + b"\n")


def _follow(child: int, reader: int, patience_s: Callable[[str], float], all_s: float) -> tuple[str, int | None]:
    """Wait for the child. Returns the test that it started last and its exit status, None if it took too long."""
    os.set_blocking(reader, False)
    said, name, pause_s = b"", "before the first test", 0.002
    first = began = time.monotonic()
    while (now := time.monotonic()) - began < patience_s(name) * _busy() and now - first < all_s * _busy():
        done, status = os.waitpid(child, os.WNOHANG)
        with contextlib.suppress(BlockingIOError):
            said += os.read(reader, 65536)
        if b"\n" in said:
            *_, last, said = said.split(b"\n")
            name, pause_s, began = last.decode(), 0.002, time.monotonic()
        if done:
            return name, status
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
    return name, None


# -- in functions ------------------------------------------------------------------------------------------------------


class Record(TypedDict):
    """Result of a run of a group's tests on sound code.

    `passing` maps a file to its lines, and each line to the tests that pass it.  `fixtures` are the shared ones that
    pass any line.  `lines` has a hash of each line of the code, and `sources` one of each test.
    """

    lines: dict[str, list[int]]
    took_s: dict[str, float]
    passing: dict[str, dict[str, list[str]]]
    fixtures: list[str]
    failed: list[str]
    sources: dict[str, int]


class Notes:
    """Which lines are passed while a test runs: by this process, by its forks and by every Python that it starts."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(b"")
        self._file, self._read, self._name = file, 0, ""
        self._found: dict[str, dict[str, set[str]]] = {}
        os.environ |= {"PYTHONPATH": _path_of_children(), in_children.NOTES: str(file)}
        in_children.note_lines(str(file))

    def begin(self, name: str) -> None:
        """From now on each line counts for this test or fixture."""
        self._count()
        self._name = name
        in_children.note_lines_again()

    def end(self) -> dict[str, dict[str, set[str]]]:
        """By path and line, the names."""
        in_children.note_no_lines()
        self._count()
        self._file.unlink()
        return self._found

    def _count(self) -> None:
        with self._file.open("rb") as file:
            file.seek(self._read)
            notes = file.read()
        self._read += len(notes)
        for note in notes.decode().splitlines():
            path, _, line = note.rpartition(":")
            self._found.setdefault(path, {}).setdefault(line, set()).add(self._name)


def _path_of_children() -> str:
    """PYTHONPATH for the processes that the tests start."""
    return os.pathsep.join(filter(None, (str(Path(in_children.__file__).parent), os.environ.get("PYTHONPATH"))))


class InFunctions:
    """A pytest plugin that runs the mutants in its loop."""

    def __init__(self, group: Group, draw: Draw, score: Score) -> None:
        self._group = group
        self._draw = draw
        self._score = score
        self._took_s: dict[str, float] = {}
        self._reported: set[str] = set()
        self._failed = False
        self._noticed_last: dict[Path, str] = {}
        self._lines_of: dict[Path, Counter[str]] = {}
        self._sound: dict[str, bool] = {}
        self._notes: Notes | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._took_s[report.nodeid] = self._took_s.get(report.nodeid, 0.0) + report.duration
        self._failed |= report.failed
        if report.failed:
            self._reported.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """Lines that a shared fixture runs belong to each test that uses it, not to the first test only."""
        if self._notes is None or fixturedef.scope == "function":
            return (yield)
        self._notes.begin(_context(fixturedef))
        try:
            return (yield)
        finally:
            self._notes.begin(request._pyfuncitem.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._paths = modules(self._group, [])
        self._base = Path(session.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
        record = self._recorded()
        self._took_s, failed = record["took_s"], frozenset(record["failed"])
        self._score.left_out += sorted(failed)
        self._sound = dict.fromkeys(failed, False)
        for path in self._paths:
            importlib.import_module(_module_name(path))
        self._set_up_shared_fixtures(record)
        gc.collect()
        live = gc.get_objects()
        # A fork has no thread of a native decoder. Collecting such a decoder in the fork would crash it.
        gc.freeze()
        self._functions, self._caches = _exchangeable(live, self._paths)
        assert _threads() == 1, f"{_threads()} threads run, and a fork would wait for them for ever"
        mutants = self._draw.mutants(in_function=True)
        self._go_on_after_a_cut(mutants)
        for path, mutant in mutants[self._score.tried() :]:
            passing = record["passing"].get(str(path.relative_to(ROOT)), {})
            if self._draw.unpassed:
                if not self._passing(path, mutant, passing):
                    print(f"  no test passes  {path.relative_to(ROOT)}:{mutant.line}  {mutant.what}")
                continue
            began = time.monotonic()
            by = self._notice(path, mutant, passing)
            self._score.note(path, mutant, by, time.monotonic() - began)
            self._partial.write_text(json.dumps(asdict(self._score)))
        self._partial.unlink(missing_ok=True)
        return True

    def _go_on_after_a_cut(self, mutants: Sequence[tuple[Path, Mutant]]) -> None:
        """Take over the score of a run of the same mutants of the same code that did not end."""
        files = sorted({*self._paths, *(item.path for item in self._items.values())})
        lines = [(str(path), _hashes_of_lines(path)) for path in files]
        self._partial = _result_of(self._group).with_suffix(".part")
        self._score.of = zlib.crc32(repr((lines, [_key(*each) for each in mutants])).encode())
        if self._partial.exists() and not self._draw.unpassed:
            partial = Score(**json.loads(self._partial.read_text()))
            if partial.of == self._score.of:
                vars(self._score).update(vars(partial))
                print(f"  {partial.tried()} were tried before, and these survived: {partial.survived}", flush=True)

    # the record

    def _recorded(self) -> Record:
        """The record of an earlier run, after tests that it lacks have run in a fork.

        Changed modules keep what was recorded of them, line by line.  A test that is missing at a line can make a
        survivor of a mutant, and no other error.  `--record` records all of them again. So does a mutant of a module
        that the record lacks, or of one that another module has joined since.
        """
        kept = ROOT / ".cache" / f"mutation-{self._group.name}{self._group.variant}-record.json"
        lines = {str(path.relative_to(ROOT)): _hashes_of_lines(path) for path in self._paths}
        record = Record(lines={}, took_s={}, passing={}, fixtures=[], failed=[], sources={})
        if kept.exists() and not self._draw.record:
            record |= json.loads(kept.read_text())
        for file in lines.keys() & record["lines"].keys():
            record["passing"][file] = _moved(record["passing"][file], record["lines"][file], lines[file])
        new = lines.keys() - record["lines"].keys()
        joined = {file for file, hashes in record["lines"].items() if file in lines and _is_joined(hashes, lines[file])}
        if not (new | joined).isdisjoint(self._drawn()):  # new lines: any test may pass them
            record["took_s"].clear()
            new = set()
        record["lines"] = {file: hashes for file, hashes in lines.items() if file not in new}
        sources = {name: _hash_of_test(item) for name, item in self._items.items()}
        changed = {name for name, source in record["sources"].items() if sources.get(name) != source}
        known = record["took_s"].keys() - set(record["failed"]) - changed
        record["sources"] = sources
        again, began, failed = [item for name, item in self._items.items() if name not in known], time.monotonic(), 0
        for first in range(0, len(again), RECORDED_AT_ONCE):
            items = again[first : first + RECORDED_AT_ONCE]
            made = self._recorded_now(kept.with_suffix(".new"), items)
            failed += len(made["failed"])
            record = self._merged(record, made, {item.nodeid for item in items})
            kept.with_suffix(".new").write_text(json.dumps(record))
            kept.with_suffix(".new").replace(kept)
        assert failed < 2 or failed / len(again) < MOST_LEFT_OUT, f"these fail without a mistake: {record['failed']}"
        if again:
            print(f"{self._group.name}: {len(again)} tests recorded in {time.monotonic() - began:.0f} s", flush=True)
        return record

    def _drawn(self) -> set[str]:
        """The files of the mutants to try."""
        return {str(path.relative_to(ROOT)) for path, _mutant in self._draw.mutants(in_function=True)}

    def _recorded_now(self, new: Path, items: Sequence[pytest.Item]) -> Record:
        new.unlink(missing_ok=True)
        run_in_fork(functools.partial(self._make_record, new, items), lambda _: 3600.0, self._base)
        assert new.exists(), f"{self._group.name}: the tests were not recorded"
        made: Record = json.loads(new.read_text())
        new.unlink()
        return made

    def _merged(self, old: Record, new: Record, again: set[str]) -> Record:
        """`again`: tests of which only the new record counts."""
        stays = (self._items.keys() & old["took_s"].keys()) - again
        passing: dict[str, dict[str, list[str]]] = {}
        for file in {*old["passing"], *new["passing"]}:
            before, after = old["passing"].get(file, {}), new["passing"].get(file, {})
            passing[file] = {
                line: sorted(stays.intersection(before.get(line, [])).union(after.get(line, [])))
                for line in {*before, *after}
            }
        return Record(
            lines=old["lines"],
            sources=old["sources"],
            took_s={name: old["took_s"][name] for name in stays} | new["took_s"],
            passing=passing,
            fixtures=sorted({*old["fixtures"], *new["fixtures"]}),
            failed=sorted(stays.intersection(old["failed"]).union(new["failed"])),
        )

    def _make_record(self, kept: Path, items: Sequence[pytest.Item], starts: Callable[[str], None]) -> str | None:
        """Run these tests.  Which lines they pass comes from this process and from every Python that they start."""
        self._took_s, self._notes = {}, Notes(kept.with_suffix(".notes"))
        for item, following in zip(items, [*items[1:], None], strict=True):
            starts(item.nodeid)
            self._notes.begin(item.nodeid)
            self._run(item, self._session if following is None else following)
        found, users = self._notes.end(), _users_of_fixtures(self._items.values())
        passing: dict[str, dict[str, list[str]]] = {}
        fixtures: set[str] = set()
        for path in self._paths:
            lines = found.get(str(path), {})
            passing[str(path.relative_to(ROOT))] = {
                line: sorted({test for name in names for test in users.get(name, [name]) if test in self._items})
                for line, names in lines.items()
            }
            fixtures |= {name for names in lines.values() for name in names if name in users}
        failed = sorted(self._reported)
        record = Record(
            lines={}, took_s=self._took_s, passing=passing, fixtures=sorted(fixtures), failed=failed, sources={}
        )
        kept.write_text(json.dumps(record))
        return None

    def _set_up_shared_fixtures(self, record: Record) -> None:
        """Set up the session's fixtures before the forks, except those that use the code under test.

        A fixture that leaves a thread behind is set up in each fork: what waits for such a thread there would hang.
        """
        wanted: dict[str, list[str]] = {}
        for item in self._items.values():
            for fixture in _shared_fixtures(item):
                ours = fixture.scope == "session" and fixture.baseid.startswith("tests")
                if ours and _context(fixture) not in record["fixtures"] and self._sound.get(item.nodeid, True):
                    wanted.setdefault(_context(fixture), []).append(item.nodeid)
        for names in wanted.values():
            quickest = min(names, key=self._took_s.__getitem__)
            if run_in_fork(functools.partial(self._leaves_threads, quickest), self._patience_s, self._base) is None:
                self._run(self._items[quickest], self._session)

    def _leaves_threads(self, name: str, starts: Callable[[str], None]) -> str | None:
        starts(name)
        self._run(self._items[name], self._session)
        return name if _threads() > 1 else None

    # the mutants

    def _notice(self, path: Path, mutant: Mutant, passing: dict[str, list[str]]) -> str | None:
        """The test that notices the mistake, or None.

        A test counts if it passes without a mistake in a fork like the one in which it failed.
        """
        names = self._passing(path, mutant, passing) or self._near(path, mutant, passing)
        self._count_lines(path, passing)
        chosen = sorted(names, key=functools.partial(self._turn, path))
        if self._draw.budget_s is not None:
            chosen = self._within(self._draw.budget_s, chosen)
        code = compile(mutant.tree(), str(path), "exec", dont_inherit=True)
        while chosen:
            act = functools.partial(self._try, path, code, chosen)
            all_s = PATIENCE_S + SLOWER * sum(self._took_s.get(name, 0.0) for name in chosen)
            by = run_in_fork(act, self._patience_s, self._base, self._score, all_s)
            if by is None:
                return None
            assert by in self._items, f"{path}:{mutant.line} {mutant.what}: the fork ended {by}"
            if self._is_sound(by):
                self._noticed_last[path] = by
                return by
            chosen.remove(by)
        return None

    def _turn(self, path: Path, name: str) -> tuple[bool, bool, float]:
        """Order of the tests of one mutant. A test that passes much of the file is likely to be about it."""
        file = name.partition("::")[0].rpartition("/")[2]
        costs = self._took_s[name] / self._lines_of[path][name] ** 2
        return name != self._noticed_last.get(path), path.stem not in file, costs

    def _within(self, budget_s: float, names: Sequence[str]) -> list[str]:
        """The tests that fit in, in their order. A long test does not keep out the short ones behind it."""
        chosen = []
        for name in names:
            if self._took_s[name] <= budget_s:
                chosen.append(name)
                budget_s -= self._took_s[name]
        return chosen

    def _count_lines(self, path: Path, passing: dict[str, list[str]]) -> None:
        if path not in self._lines_of:
            self._lines_of[path] = Counter(name for names in passing.values() for name in names)

    def _passing(self, path: Path, mutant: Mutant, passing: dict[str, list[str]]) -> set[str]:
        """The tests that pass the mutant's line."""
        lines = _statements(path).get(mutant.line, [mutant.line])
        return {name for line in lines for name in passing.get(str(line), []) if self._sound.get(name, True)}

    def _near(self, path: Path, mutant: Mutant, passing: dict[str, list[str]]) -> set[str]:
        """The tests that pass any line of the mutant's function."""
        lines = next((each for each in _lines_of_functions(path) if mutant.line in each), range(0))
        return {name for line in lines for name in passing.get(str(line), []) if self._sound.get(name, True)}

    def _is_sound(self, name: str) -> bool:
        """Returns True if the test passes on sound code. It is tried once."""
        if name not in self._sound:
            act = functools.partial(self._try, None, None, [name])
            self._sound[name] = run_in_fork(act, self._patience_s, self._base) is None
            if not self._sound[name]:
                self._score.left_out.append(name)
                print(f"  left out, because it fails without a mistake: {name}", flush=True)
        return self._sound[name]

    def _patience_s(self, name: str) -> float:
        return PATIENCE_S + SLOWER * self._took_s.get(name, 0.0)

    def _try(
        self, path: Path | None, code: types.CodeType | None, names: Sequence[str], starts: Callable[[str], None]
    ) -> str | None:
        for cache in self._caches:
            cache.cache_clear()
        if path is not None and code is not None:
            exchange(self._functions[path], code)
            file = self._base / "mistake"
            file.write_bytes(in_children.mistake(_module_name(path), str(path), code))
            os.environ |= {"PYTHONPATH": _path_of_children(), in_children.MISTAKE: str(file)}
        self._failed = False
        for name, following in zip(names, [*names[1:], None], strict=True):
            starts(name)
            self._run(self._items[name], self._session if following is None else self._items[following])
            if self._failed:
                return name
        return None

    def _run(self, item: pytest.Item, following: pytest.Item | pytest.Session | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _hash_of_test(item: pytest.Item) -> int:
    assert isinstance(item, pytest.Function)
    return zlib.crc32(inspect.getsource(item.function).encode())


@functools.cache
def _lines_of_functions(path: Path) -> list[range]:
    """The lines of each function, the innermost first."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return sorted((range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in nodes), key=len)


def _hashes_of_lines(path: Path) -> list[int]:
    return [zlib.crc32(line.strip()) for line in path.read_bytes().splitlines()]


def _is_joined(before: list[int], after: list[int]) -> bool:
    """Returns True if a large share of the lines is new: another module may have joined this one."""
    return (Counter(after) - Counter(before)).total() > _JOINED_SHARE * len(after)


def _moved(passing: dict[str, list[str]], before: list[int], after: list[int]) -> dict[str, list[str]]:
    """The tests at each line of a changed file.  A changed or new line has those of the lines that it stands for."""
    found: dict[str, list[str]] = {}
    for kind, start, end, new_start, new_end in difflib.SequenceMatcher(None, before, after, False).get_opcodes():
        if kind == "equal":
            sources = [[start + each] for each in range(end - start)]
        else:
            sources = [list(range(max(0, start - 1), end))] * (new_end - new_start)
        for number, source in enumerate(sources):
            names = {name for line in source for name in passing.get(str(line + 1), [])}
            if names:
                found[str(new_start + number + 1)] = sorted(names)
    return found


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _context(fixture: Any) -> str:
    return f"fixture {fixture.baseid} {fixture.argname}"


def _shared_fixtures(item: pytest.Item) -> Iterator[Any]:
    """The fixtures of the test that live longer than the test."""
    for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        yield from (fixture for fixture in definitions if fixture.scope != "function")


def _users_of_fixtures(items: Iterable[pytest.Item]) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for item in items:
        for fixture in _shared_fixtures(item):
            users.setdefault(_context(fixture), []).append(item.nodeid)
    return users


def _exchangeable(live: Sequence[Any], paths: Sequence[Path]) -> tuple[dict[Path, list[types.FunctionType]], list[Any]]:
    """Among all objects: the functions of each file, and every cache of a function."""
    functions: dict[Path, list[types.FunctionType]] = {path: [] for path in paths}
    by_name = {str(path): found for path, found in functions.items()}
    caches = []
    for each in live:
        kind = type(each)  # isinstance would ask a lazy object of Django for its class, and set it up
        if issubclass(kind, types.FunctionType):
            by_name.get(each.__code__.co_filename, []).append(each)
        elif issubclass(kind, functools._lru_cache_wrapper):
            caches.append(each)
    return functions, caches


def exchange(found: Sequence[types.FunctionType], code: types.CodeType) -> None:
    """Give every function of a module its code in `code`."""
    wanted = {(each.co_qualname, each.co_firstlineno): each for each in _functions_of(code)}
    for function in found:
        new = wanted.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        # A function cannot exchange code with another closure.
        if new is not None and new.co_freevars == function.__code__.co_freevars:
            function.__code__ = new


def _functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """The outermost functions: those of a module, and of the classes in it."""
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            if const.co_flags & 0x1:  # optimised: a function, not the body of a class
                yield const
            else:
                yield from _functions_of(const)


@functools.cache
def _statements(path: Path) -> dict[int, list[int]]:
    """By line: the lines of the smallest statement around it, any of which a tracer may name."""
    found: dict[int, list[int]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            lines = list(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            found.update(dict.fromkeys(lines, lines))
        elif isinstance(node, ast.If | ast.While):
            lines = list(range(node.lineno, node.body[0].lineno))
            found.update({line: lines for line in lines if line not in found})
    return found


# -- in what modules and classes define --------------------------------------------------------------------------------


def in_definitions(group: Group, draw: Draw, score: Score) -> None:
    """No module of the project may be imported here: each fork imports the project with its mistake."""
    assert not any(name.startswith("agent") for name in sys.modules)
    path = draw.paths[0]
    unchanged = compile(path.read_text(), str(path), "exec", dont_inherit=True)
    began = time.monotonic()
    by = run_in_fork(functools.partial(_import_and_test, group, path, unchanged), lambda _: 1800.0)
    assert by is None, f"{group.name}: the tests fail without any mutant"
    patience_s = PATIENCE_S * 6 + 3 * (time.monotonic() - began)
    for path, mutant in draw.mutants(in_function=False):
        began = time.monotonic()
        code = compile(mutant.tree(), str(path), "exec", dont_inherit=True)
        by = run_in_fork(functools.partial(_import_and_test, group, path, code), lambda _: patience_s)
        score.note(path, mutant, by, time.monotonic() - began)


def _import_and_test(group: Group, path: Path, code: types.CodeType, starts: Callable[[str], None]) -> str | None:
    sys.meta_path.insert(0, in_children.Finder(_module_name(path), str(path), code))
    named = [each for folder in group.test_files() for each in _tests_named_after(path.stem, ROOT / folder)]
    for chosen in ([*group.quickest, *named], group.test_files()):
        starts(" ".join(chosen))
        if chosen and pytest.main([*QUIET, "-x", "--hypothesis-profile=mutation", *chosen]) != 0:
            return " ".join(chosen)
    return None


def _tests_named_after(stem: str, place: Path) -> list[str]:
    """The test files at or below `place` with names that mention the module, for example `test_deciding.py`."""
    files = [place] if place.is_file() else sorted(place.rglob("test_*.py"))
    return [str(each) for each in files if stem in each.stem or stem == each.parent.name]


def run_group(group: Group, draw: Draw, options: frozenset[str]) -> Score:
    score = Score()
    if "--functions" not in options:
        in_definitions(group, draw, score)
    if "--definitions" not in options:
        plugin = InFunctions(group, draw, score)
        with tempfile.TemporaryDirectory(prefix="doorward-mutants-") as base:
            arguments = [*QUIET, f"--basetemp={base}/of", "--hypothesis-profile=mutation", *group.test_files()]
            status = pytest.main(arguments, plugins=[plugin])
        assert status == 0, status
    return score


class Apart:
    """Runs one group in a separate process, because the next group must find no module of the project imported."""

    def __init__(self, group: Group, draw: Draw, options: frozenset[str]) -> None:
        self._group, self._began = group, time.monotonic()
        result = _result_of(group)
        result.parent.mkdir(exist_ok=True)
        result.unlink(missing_ok=True)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                score = run_group(group, draw, options)
                result.write_text(json.dumps(asdict(score)))
            except BaseException:  # noqa: BLE001 - the parent reports a group without a result
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(0)

    def result(self) -> dict[str, Any] | None:
        """Returns the score after the end of the process, and tells it. None if the run was not finished."""
        name, result = self._group.name, _result_of(self._group)
        if not result.exists():
            return None
        found: dict[str, Any] = json.loads(result.read_text())
        killed, made = found["killed"], found["killed"] + len(found["survived"])
        if made:
            low, high = interval(killed, made)
            print(
                f"{name}: {made} mutants, {killed} noticed, {killed / made:.1%} (of a random sample, with 95 % "
                f"confidence {low:.1%} to {high:.1%}), {found['too_long']} too slow, "
                f"in {time.monotonic() - self._began:.0f} s",
                flush=True,
            )
        return found


def _run_groups(chosen: Sequence[tuple[Group, Draw]], options: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Runs `--jobs` groups at once. Returns the score of each group."""
    jobs, waiting = max(1, _number(options, "--jobs=", 1)), list(chosen)
    found: dict[str, dict[str, Any]] = {}
    unfinished: list[str] = []
    running: dict[int, tuple[str, Apart]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            group, draw = waiting.pop(0)
            apart = Apart(group, draw, options)
            running[apart.pid] = group.name, apart
        ended, _ = os.wait()
        name, apart = running.pop(ended)
        result = apart.result()
        if result is None:
            unfinished.append(name)
        else:
            found[name] = result
    assert not unfinished, f"{', '.join(unfinished)}: the run was not finished"
    return {group.name: found[group.name] for group, _ in chosen}


def _result_of(group: Group) -> Path:
    return RESULT.with_name(f"mutation-{group.name}{group.variant}.json")


def interval(noticed: int, made: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share after Wilson, for a sample that was drawn at random."""
    share, z2 = noticed / made, 1.96**2
    middle = (share + z2 / (2 * made)) / (1 + z2 / made)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * made)) / made) / (1 + z2 / made)
    return middle - half, middle + half


def _draw(group: Group, named: Sequence[str], options: frozenset[str]) -> Draw:
    again = None
    if "--again" in options:
        survived = json.loads(_result_of(group).read_text())["survived"] if _result_of(group).exists() else []
        again = frozenset((path, line, what) for path, line, what in survived)
    sample = _number(options, "--sample=", 0) or None
    first, every = _number(options, "--first=", 0), _number(options, "--every=", 1)
    budget_s = _number(options, "--budget=", 0) or None
    return Draw(
        modules(group, named),
        first,
        every,
        sample,
        _number(options, "--seed=", 1),
        again,
        "--unpassed" in options,
        "--record" in options,
        budget_s,
    )


def _with_tests(options: frozenset[str]) -> Sequence[Group]:
    """The groups, each with the tests that are named."""
    tests = next((each.removeprefix("--tests=") for each in options if each.startswith("--tests=")), "")
    if not tests:
        return GROUPS
    variant = f"-{zlib.crc32(tests.encode()):08x}"
    return [replace(group, tests=tuple(tests.split(",")), variant=variant) for group in GROUPS]


def _number(options: frozenset[str], name: str, default: int) -> int:
    return next((int(each.removeprefix(name)) for each in options if each.startswith(name)), default)


def _is_reached(found: dict[str, Any], is_sample: bool) -> bool:
    """Returns whether the tests noticed `GOAL` of the mutants in each group.

    One survivor more or less decides about a small sample of a group. So a sample counts for all groups together, and
    a group of it fails only if its confidence interval ends below the goal.
    """
    counts = [(each["killed"], each["killed"] + len(each["survived"])) for each in found.values()]
    counts = [(killed, made) for killed, made in counts if made]
    if not is_sample:
        return all(killed / made >= GOAL for killed, made in counts)
    killed, made = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return killed >= GOAL * made and all(interval(*each)[1] >= GOAL for each in counts)


def _together(found: dict[str, Any]) -> str:
    """The last line of a run, which `scripts/prove.py` keeps in tests/PROVED.json."""
    counts = {name: (each["killed"], each["killed"] + len(each["survived"])) for name, each in found.items()}
    shares = {name: killed / made for name, (killed, made) in counts.items() if made}
    if not shares:
        return "no mutants"
    killed, made = (sum(column) for column in zip(*counts.values(), strict=True))
    lowest = min(shares, key=shares.__getitem__)
    return (
        f"{made} mutants in {len(shares)} groups, {killed} noticed, {killed / made:.1%}; "
        f"lowest: {lowest} {shares[lowest]:.1%}"
    )


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < (3, 12):
        print("The mutation runner needs Python 3.12, for sys.monitoring.", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    # A fork has only the thread that forked, and would wait for ever for the other threads of a pool.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")
    options = frozenset(each for each in arguments if each.startswith("--"))
    named = [each for each in arguments if each not in options]
    for library in ("cryptography.hazmat.primitives.asymmetric.ed25519", "msgspec", "json", "hypothesis.strategies"):
        importlib.import_module(library)  # the same for every fork
    chosen = [(group, _draw(group, named, options)) for group in _with_tests(options)]
    found = _run_groups([(group, draw) for group, draw in chosen if draw.paths], options)
    RESULT.write_text(json.dumps(found, indent=1))
    print(_together(found), flush=True)
    return 0 if _is_reached(found, any(each.startswith("--sample=") for each in options)) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

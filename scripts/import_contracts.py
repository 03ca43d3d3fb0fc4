"""An import contract that allows by name: it lists everything that a package can reach, directly or indirectly.

Import-linter's own contracts forbid by name, so a new module is allowed until it is listed. The contract type `allowed`
is the opposite: an unlisted module, package or library breaks the contract, and so does an unused line. A module's
packages count as reached too, because Python runs their `__init__.py`.

    [importlinter:contract:uplink]
    type = allowed
    source_modules = agent.uplink
    allowed =
        agent: errors ports            # modules of one package in a line
        agent.core: media timebase
        python: threading              # the standard library
        packages: structlog            # installed libraries

With `about`, only modules below these packages are listed: the desk's contract names what it may use of the agent, and
leaves its own libraries out. `agent.clients.requester: *` allows all modules of that package.

`python scripts/import_contracts.py` prints the lists for today's imports.
Source: https://import-linter.readthedocs.io, "Custom contract types".
"""

from __future__ import annotations

import configparser
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from grimp import ImportGraph, build_graph
from importlinter import Contract, ContractCheck, fields, output

__all__ = ["AllowedContract", "imports_from", "names_of", "only_about", "reached", "with_wholes"]

ROOT = Path(__file__).resolve().parent.parent
OURS = ("agent", "desk", "firmware_bridge")
_LIBRARIES = ("python", "packages")


class AllowedContract(Contract):
    """Options: `source_modules` are packages or modules; `allowed` has one line for each package, as above; `about`."""

    type_name = "allowed"

    source_modules = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField())
    about = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 (import-linter hands it in)
        importers = imports_from(graph, self.source_modules)  # type: ignore[arg-type]  # import-linter fills it in
        found, listed = reached(graph, importers), names_of(self.allowed)  # type: ignore[arg-type]
        found = with_wholes(only_about(found, self.about or ()), listed)  # type: ignore[arg-type]
        return ContractCheck(
            kept=found == listed,
            metadata={
                "refused": [_way(importers, name) for name in sorted(found - listed)],
                "unused": sorted(listed - found),
            },
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        for way in check.metadata["refused"]:
            output.print_error(f"not allowed: {' -> '.join(way)}")
        for name in check.metadata["unused"]:
            output.print_error(f"allowed, but nothing imports it: {name}")
        output.new_line()


def imports_from(graph: ImportGraph, sources: Iterable[str]) -> Mapping[str, str]:
    """Every module that `sources` reach, themselves included, with the module that imports it ("": a source)."""
    own = {name for source in sources for name in {source, *graph.find_descendants(source)}}
    importers = dict.fromkeys(own, "")
    waiting = deque(sorted(own))
    while waiting:
        name = waiting.popleft()
        imported = {*graph.find_modules_directly_imported_by(name), *_packages_of(name)}
        for new in sorted(imported - importers.keys()):
            importers[new] = name
            waiting.append(new)
    return importers


def reached(graph: ImportGraph, importers: Mapping[str, str]) -> set[str]:
    """Returns the part of `imports_from` outside the sources, without packages that only hold their modules."""
    return {name for name, importer in importers.items() if importer and not _only_holds(graph, name)}


def _only_holds(graph: ImportGraph, name: str) -> bool:
    is_package = not graph.is_module_squashed(name) and bool(graph.find_children(name))
    return is_package and not graph.find_modules_directly_imported_by(name)


def names_of(lines: Iterable[str]) -> set[str]:
    """The names in lines such as `agent.core: media timebase`."""
    found = set()
    for line in lines:
        package, _, names = line.partition(":")
        inside = "" if package in _LIBRARIES else f"{package}."
        found |= {name if name == package else f"{inside}{name}" for name in names.split()}
    return found


def only_about(found: set[str], packages: Iterable[str]) -> set[str]:
    """Returns the modules of `packages`, or all of them if there are none."""
    tops = tuple(f"{package}." for package in packages)
    return {name for name in found if f"{name}.".startswith(tops)} if tops else found


def with_wholes(found: set[str], listed: set[str]) -> set[str]:
    """Returns `found` with `package.*` in place of the modules of each package that is listed so."""
    wholes = {name for name in listed if name.endswith(".*")}
    return {next((each for each in wholes if name.startswith(each[:-1])), name) for name in found}


def _packages_of(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)) if parts[0] in OURS)


def _way(importers: Mapping[str, str], name: str) -> list[str]:
    """From a source module to `name`."""
    way = [name]
    while importer := importers[way[0]]:
        way.insert(0, importer)
    return way


def _lines(names: Iterable[str]) -> Iterable[str]:
    """`names` as they stand in `setup.cfg`, at most 116 columns wide."""
    groups: dict[str, list[str]] = {}
    for name in names:
        ours = name.split(".")[0] in OURS
        library = "python" if name in sys.stdlib_module_names else "packages"
        package, _, last = name.rpartition(".") if ours else (library, "", name)
        groups.setdefault(package or last, []).append(last)
    for package in sorted(groups, key=lambda each: (_LIBRARIES.index(each) if each in _LIBRARIES else -1, each)):
        line = f"{package}:"
        for last in sorted(groups[package]):
            if len(line) + len(last) > 110:
                yield line
                line = f"{package}:"
            line += f" {last}"
        yield line


def main() -> int:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    sys.path.insert(0, str(ROOT))
    graph = build_graph(*OURS, include_external_packages=True)
    for section in settings.sections():
        if settings[section].get("type") == "allowed":
            print(f"[{section}]\nallowed =")
            found = reached(graph, imports_from(graph, settings[section]["source_modules"].split()))
            found = only_about(found, settings[section].get("about", "").split())
            for line in _lines(with_wholes(found, names_of(settings[section]["allowed"].splitlines()))):
                print(f"    {line}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

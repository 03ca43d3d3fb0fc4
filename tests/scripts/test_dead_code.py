"""Every function, class, constant and field of agent, desk and bridge is read by code, not only by tests."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("agent", "desk", "firmware_bridge")
READERS = (*CODE, "bench", "demo", "scripts")
_TEXT = ("*.js", "*.ts", "*.html")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")

READ_BY_DJANGO = ("Model", "AbstractUser", "Form", "Meta")
"""Django reads tables, forms and options: their fields and `clean_…`. Migrations and settings are Django's, too."""

CALLED_BY_LIBRARIES = {
    "_OF_THE_DOORS": "gettext: sentences of the doors' code, which the catalog of translations needs",
    "PeopleConfig": "Django",
    "app_name": "Django",
    "generate_authenticator_name": "allauth",
    "handler500": "Django",
    "get_redirect_url": "Django",
    "is_open_for_signup": "allauth",
    "is_reauthentication_required": "allauth",
    **dict.fromkeys(("process_exception", "process_view"), "Django"),
    "urlpatterns": "Django",
    "resolve_clips": "django-ninja",
    "_create_socket_connection": "paho",
    "_describe_range": "click",
    "download_file": "python-tuf",
    "_fields_": "ctypes",
    "_messages_reconnect_reset_out": "paho",
    "allow_reuse_address": "socketserver",
    "capture_signals": "uvicorn",
    "critical": "structlog",
    "daemon_threads": "socketserver",
    "do_GET": "http.server",
    "do_POST": "http.server",
    "emit": "logging",
    "exception": "structlog",
    "format_commands": "click",
    "handle_error": "socketserver",
    "http_open": "urllib",
    "https_open": "urllib",
    "log_message": "http.server",
    "request_queue_size": "socketserver",
}
"""Names that a library reads."""

READ_BY_TESTS = {
    "WRITTEN_BY": "the declaration of a thread's attributes, which tests check (platform.thread_owners)",
    "check_extract": "an auditor's check of a custody extract without the desk (CUSTODY.md)",
    "check_growth": "as check_extract, of two checkpoints",
    "diagram": "the consent table as a diagram, which a test compares with docs/consent.md",
    "doors_at": "the time axis at one moment, which the player computes in the browser",
    "recount": "the public numbers made again from the signed requests, for a restored database",
    "is_armored": "the text form of age files, which the public age vectors and other implementations need",
}
"""Names that only tests read, with the reason to keep them."""

WHOLE_STRUCTS = {"BoardHealth", "BoardState", "RequestSummary"}
"""Classes that travel with all fields to another process or to the page."""


def files(folders: tuple[str, ...], *patterns: str) -> list[Path]:
    return [
        path
        for folder in folders
        for pattern in patterns
        for path in sorted((ROOT / folder).rglob(pattern))
        if not {"node_modules", "static", "migrations"} & {*path.parts}
    ]


def names_read(source: str) -> Iterator[str]:
    """Names that the source reads: variables, attributes, patterns, and dotted names in strings."""
    for node in ast.walk(without_lists(ast.parse(source))):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name, ctx=ast.Load()):
                yield name
            case ast.Constant(value=str(text)) if _DOTTED.fullmatch(text):
                yield from text.split(".")
            case ast.MatchClass(kwd_attrs=names):
                yield from names


def without_lists(module: ast.Module) -> ast.Module:
    """The module without `__all__`: a name that is only listed is read by nothing."""
    module.body = [
        node
        for node in module.body
        if not (isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets))
    ]
    return module


@cache
def read_by_code() -> Counter[str]:
    return Counter(name for path in files(READERS, "*.py") for name in names_read(path.read_text()))


@cache
def names_defined(source: str) -> tuple[tuple[str, str], ...]:
    """(class or "", name) of each definition, without members of enums, commands of click and dunder names."""
    return tuple(_defined_in(ast.parse(source).body, ""))


def _defined_in(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, str]]:
    for node in body:
        match node:
            case ast.ClassDef(name=name, bases=bases):
                parents = [name, *(ast.unparse(base) for base in bases)]
                of_django = any(word in parent for parent in parents for word in READ_BY_DJANGO)
                if not of_django:
                    yield owner, name
                body = [each for each in node.body if not of_django or _is_method(each)]
                if not any("Enum" in parent for parent in parents):
                    yield from _defined_in(body, name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not any(".command(" in ast.unparse(each) for each in node.decorator_list):
                    yield owner, name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield owner, name


def _is_method(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and not node.name.startswith("clean")


def unread(defined: dict[str, str], read: Counter[str]) -> list[str]:
    """`path: Class.name` of each definition in `defined` (path: source) that is read nowhere."""
    return [
        f"{path}: {owner}.{name}".replace(": .", ": ")
        for path, source in defined.items()
        for owner, name in names_defined(source)
        if not read[name] and not name.startswith("__") and owner not in WHOLE_STRUCTS
    ]


def test_every_definition_is_read_by_code() -> None:
    read = read_by_code().copy()
    for path in files(("agent", "desk"), *_TEXT):
        read.update(re.findall(r"\w+", path.read_text()))
    known = CALLED_BY_LIBRARIES.keys() | READ_BY_TESTS.keys()
    defined = {str(path.relative_to(ROOT)): path.read_text() for path in files(CODE, "*.py")}
    del defined["desk/settings.py"]
    found = [place for place in unread(defined, read) if place.rpartition(" ")[2].rpartition(".")[2] not in known]
    assert found == [], "remove what nothing reads, or say above what reads it"


def test_a_name_that_only_tests_read_is_still_there_and_needs_its_reason() -> None:
    read = read_by_code()
    defined = {name for path in files(CODE, "*.py") for _, name in names_defined(path.read_text())}
    assert {name for name in READ_BY_TESTS if name not in defined or read[name]} == set()


def test_a_planted_function_that_is_only_listed_is_found() -> None:
    source = '__all__ = ["dead", "live"]\ndef dead(): ...\ndef live(): ...\nclass Live:\n    spare: int = 0\n'
    read = Counter(names_read(f"{source}\nlive(Live)"))
    assert unread({"a.py": source}, read) == ["a.py: dead", "a.py: Live.spare"]

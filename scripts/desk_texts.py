"""Translations of the desk: finds the texts of each app, and compiles its catalog for Django.

An app keeps its translations in `desk/APP/locale/nl/LC_MESSAGES/django.po`. Django reads the compiled `django.mo`
beside it. `python scripts/desk_texts.py` compiles each catalog and names each text of the app that its catalog lacks.
With `--add`, it also adds those texts to the catalog, with an empty translation. GNU gettext is not needed.
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DESK: Final = ROOT / "desk"
CATALOG: Final = Path("locale/nl/LC_MESSAGES/django.po")
HEADER: Final = "Content-Type: text/plain; charset=UTF-8\nLanguage: nl\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
FIRST_APP: Final = "people"
"""The app whose catalog also has the texts of the frame around each page, and of the pages for signing in."""
SIGN_IN: Final = ("account", "mfa", "socialaccount")
_CALLS: Final = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2}
"""Functions that translate, and the number of their texts."""
_TAG: Final = re.compile(r"""\{%\s*translate\s+(?:"([^"]*)"|'([^']*)')""")
_BLOCK: Final = re.compile(r"\{%\s*blocktranslate\b[^%]*%\}(.*?)\{%\s*endblocktranslate\s*%\}", re.DOTALL)
_PLURAL: Final = re.compile(r"\{%\s*plural\s*%\}")
_HOLE: Final = re.compile(r"\{\{\s*(\w+)[^}]*\}\}")
_MO_MAGIC: Final = 0x950412DE


@dataclass(frozen=True, slots=True)
class Text:
    """A text to translate, with its plural if it has one."""

    single: str
    plural: str = ""


def texts_of(app: Path) -> set[Text]:
    """Returns the texts in the Python files of an app and in its templates."""
    found: set[Text] = set()
    templates = app.parent / "templates"
    python, pages = set(app.rglob("*.py")), set((templates / app.name).rglob("*.html"))
    if app.name == FIRST_APP:
        python |= set(app.parent.glob("*.py"))
        pages |= set(templates.glob("*.html")) | {
            path for each in SIGN_IN for kind in ("*.html", "*.txt") for path in (templates / each).rglob(kind)
        }
    for path in python:
        found |= set(_in_python(path.read_text(encoding="utf-8")))
    for path in pages:
        found |= set(_in_template(path.read_text(encoding="utf-8")))
    return found - {Text("")}


def _in_python(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            words = node.args[: _CALLS[node.func.id]]
            texts = [each.value for each in words if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            if texts and len(texts) == len(words):
                yield Text(*texts)


def _in_template(source: str) -> Iterator[Text]:
    for found in _TAG.finditer(source):
        yield Text(found[1] or found[2] or "")
    for found in _BLOCK.finditer(source):
        # Django looks for the block's text with %(name)s in place of each value, and with each other % doubled.
        single, *plural = (_HOLE.sub(r"%(\1)s", part.replace("%", "%%")) for part in _PLURAL.split(found[1]))
        yield Text(single, *plural)


# Catalogs


def read_catalog(path: Path) -> dict[Text, tuple[str, ...]]:
    """Returns the translations in a .po file: one for each text, two if it has a plural."""
    catalog: dict[Text, tuple[str, ...]] = {}
    if not path.is_file():
        return catalog
    for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            found = re.fullmatch(r'(?:(msgid|msgid_plural|msgstr(?:\[\d\])?)\s+)?(".*")', line)
            if found is None:
                continue
            name = found[1] or name
            fields[name] = fields.get(name, "") + ast.literal_eval(found[2])
        if fields.get("msgid"):
            text = Text(fields["msgid"], fields.get("msgid_plural", ""))
            catalog[text] = tuple(fields[each] for each in ("msgstr", "msgstr[0]", "msgstr[1]") if each in fields)
    return catalog


def write_catalog(path: Path, catalog: dict[Text, tuple[str, ...]]) -> None:
    """Writes a .po file, sorted, so that two people's additions seldom meet in one place."""
    blocks = [f'msgid ""\nmsgstr {_quoted(HEADER)}']
    for text, words in sorted(catalog.items(), key=lambda each: each[0].single):
        lines = [f"msgid {_quoted(text.single)}"]
        if text.plural:
            one, other = (*words, "", "")[:2]
            lines += [
                f"msgid_plural {_quoted(text.plural)}",
                f"msgstr[0] {_quoted(one)}",
                f"msgstr[1] {_quoted(other)}",
            ]
        else:
            lines.append(f"msgstr {_quoted((*words, '')[0])}")
        blocks.append("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def compiled(catalog: dict[Text, tuple[str, ...]]) -> bytes:
    """Returns the .mo file of a catalog (GNU gettext, "The Format of GNU MO Files"). Empty translations stay out."""
    pairs = {b"": HEADER.encode()}
    for text, words in catalog.items():
        if all(words):
            key = f"{text.single}\0{text.plural}" if text.plural else text.single
            pairs[key.encode()] = "\0".join(words).encode()
    keys = sorted(pairs)
    tables, data = [], b""
    start = 28 + 16 * len(keys)
    for column in (keys, [pairs[key] for key in keys]):
        for each in column:
            tables.append((len(each), start + len(data)))
            data += each + b"\0"
    head = struct.pack("<7I", _MO_MAGIC, 0, len(keys), 28, 28 + 8 * len(keys), 0, start)
    return head + b"".join(struct.pack("<2I", *each) for each in tables) + data


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def catalogs() -> list[Path]:
    """Returns the catalogs of all apps that have texts, even if one is not written yet."""
    return sorted(each.parent / CATALOG for each in DESK.glob("*/__init__.py") if texts_of(each.parent))


def missing(path: Path) -> list[Text]:
    """Returns the texts of an app that its catalog lacks or leaves empty."""
    catalog = read_catalog(path)
    return sorted(
        (each for each in texts_of(path.parents[3]) if not catalog.get(each) or not all(catalog[each])),
        key=lambda each: each.single,
    )


def main(arguments: list[str]) -> int:
    lacking = 0
    for path in catalogs():
        absent = missing(path)
        if "--add" in arguments:
            catalog = read_catalog(path)
            current = texts_of(path.parents[3])
            kept = {text: words for text, words in catalog.items() if text in current}
            write_catalog(path, {**dict.fromkeys(current, ("",)), **kept})
        if path.is_file():
            path.with_suffix(".mo").write_bytes(compiled(read_catalog(path)))
        for each in absent:
            print(f"{path.relative_to(ROOT)}: no translation of {each.single!r}")
        lacking += len(absent)
    return int(lacking > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The export of a case as a folder: films, evidence, report, table, certificates, and the custody extract.

    report.html, report.pdf      the report of the case                 files.csv      each file with times and hashes
    answers/ID/                  films and evidence of one answer, as 'doorward requester open' writes them
    certificates/                one for each chosen jurisdiction, to be read, corrected and signed by a person
    custody-extract.json         the custody entries of the case, each with its proof
    keys/ID.identity             only if chosen: the key that opens the sealed files of that request
    SHA256SUMS                   for `sha256sum -c`

An export of chosen clips holds these clips only: their films, segments, stills, copies of these
if chosen, report and table.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from django.utils import translation
from django.utils.translation import gettext as _

from agent.clients.requester.content_credentials import FOLDER, keep_left_out
from agent.errors import ConfigurationError
from agent.platform import files
from desk.custody import log
from desk.custody.models import Entry
from desk.export import words
from desk.export.case_content import CaseContent, ExportedClip, Scope, gather
from desk.export.certificates import JURISDICTIONS, render_certificate
from desk.export.csv_files import write_csv
from desk.export.report import render_html, render_pdf
from desk.people.organisations import requester_of

__all__ = ["SUMS", "ExportOptions", "build_export", "top_name"]

SUMS: Final = "SHA256SUMS"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Choices of the person. `scope`: the chosen clips, or None for the whole case."""

    language: str
    made_by: str
    now_s: int
    jurisdictions: Collection[str] = ()
    with_keys: bool = False
    with_credentials: bool = False
    """Whether `c2pa/` of each answer has copies with Content Credentials."""
    with_custody: bool = True
    scope: Scope = field(default=None)


def top_name(number: str) -> str:
    """Returns the name of the top folder of an export. A case number may hold any character."""
    return f"case-{_UNSAFE.sub('-', number).strip('-.') or 'export'}"


def build_export(case: Any, folder: Path, options: ExportOptions) -> CaseContent:
    """Writes the export into the private `folder`, and returns its content. Raises `DoorwardError`."""
    content = gather(case, folder, now_s=options.now_s, scope=options.scope, credentials=options.with_credentials)
    if not content.whole:
        _keep_chosen(content)
    entries: list[Entry] | None = None
    checkpoint = ""
    # The entries name everything that was asked in the case, which a person who gets chosen clips has no right to know.
    if options.with_custody and content.whole:
        rows = Entry.objects.filter(organisation=case.organisation, case_number=case.number)
        entries = list(rows.select_related("organisation").order_by("number"))
        files.write(folder / "custody-extract.json", log.extract(case.organisation, entries))
        checkpoint = log.newest_note(case.organisation).decode("utf-8")
    html = render_html(
        content,
        language=options.language,
        now_s=options.now_s,
        made_by=options.made_by,
        entries=entries,
        checkpoint=checkpoint,
    )
    files.write(folder / "report.html", html.encode("utf-8"))
    files.write(folder / "report.pdf", render_pdf(html))
    with translation.override(options.language):
        files.write(folder / "files.csv", _table(content))
    _write_certificates(content, folder, options)
    if options.with_keys:
        _write_keys(content, folder)
    # Last, and joined before the file is there: it lists every other file, and not itself.
    files.write(folder / SUMS, "".join(_sums(folder)).encode("utf-8"))
    return content


def _keep_chosen(content: CaseContent) -> None:
    """Removes everything of the opened answers except the chosen clips and their copies with Content Credentials.

    A copy names the files that it was made of: those of its own clip. The list of files without a copy keeps the lines
    about these files.
    """
    for answer in content.answers:
        if answer.opened is None:
            continue
        kept = {path for clip in answer.clips for path in _paths(clip)}
        copies = answer.opened.folder / FOLDER
        left_out = keep_left_out(copies, {path.name for path in kept})
        kept |= {copies / path.name for path in kept}
        if left_out is not None:
            kept.add(left_out)
        for path in files.below(answer.opened.folder):
            if path not in kept:
                path.unlink()
                _remove_empty(path.parent, below=answer.opened.folder)


def _remove_empty(folder: Path, *, below: Path) -> None:
    with contextlib.suppress(OSError):  # the first one that holds something else
        while folder != below:
            folder.rmdir()
            folder = folder.parent


def _paths(clip: ExportedClip) -> Iterator[Path]:
    opened = clip.opened
    yield from (path for path in (opened.mp4, opened.picture, *opened.segments, *opened.sounds) if path is not None)


def _write_certificates(content: CaseContent, folder: Path, options: ExportOptions) -> None:
    chosen = [each for each in JURISDICTIONS if each.id in options.jurisdictions]
    if not chosen or not content.clips:
        return
    target = files.make_folder(folder / "certificates")
    for each in chosen:
        html = render_certificate(each, content, now_s=options.now_s)
        files.write(target / f"{each.id}.html", html.encode("utf-8"))
        files.write(target / f"{each.id}.pdf", render_pdf(html))


def _write_keys(content: CaseContent, folder: Path) -> None:
    target = files.make_folder(folder / "keys")
    requester = requester_of(content.case.organisation)
    for asked in content.requests:
        # Without an answer, the key would open only answers that come after this export.
        identity = requester.reply_identity(asked.request_id) if asked.answers else None
        if identity is not None:
            opens = f"# opens the answers to footage request {asked.request_id}, with age 1.3 or newer"
            secret = f"{opens}\n{identity.secret_text()}\n"
            files.write(target / f"{asked.request_id}.identity", secret.encode("ascii"), secret=True)


def _table(content: CaseContent) -> bytes:
    head = [
        _("clip"), _("door"), _("kind"), _("number"), _("from"), _("to"), _("clock"), _("device"), _("answer"),
        _("film"), "SHA-256 " + _("opened"), "SHA-256 " + _("sealed"), "SHA-256 " + _("record"),
    ]  # fmt: skip
    return write_csv(head, (row for clip in content.clips for row in _table_rows(clip)))


def _table_rows(clip: ExportedClip) -> Iterator[list[object]]:
    verification = clip.answer.verification
    if verification is None or verification.disclosed is None:
        raise ConfigurationError("This answer does not verify.", remedy="Export the case again.")
    device = verification.disclosed.manifest.device
    shown = [(segment.number, segment.verified) for segment in clip.segments]
    shown += [(segment.number, segment.sound) for segment in clip.segments if segment.sound is not None]
    shown += [(0, clip.clip.poster)] if clip.clip.poster is not None else []
    for number, verified in shown:
        item = verified.item
        yield [
            clip.label,
            clip.door,
            item.part.kind.value,
            number,
            words.utc_time(verified.span.start_ms),
            words.utc_time(verified.span.end_ms),
            item.record.quality.value,
            device,
            clip.answer.row.disclosure_id,
            clip.film,
            verified.opened_sha256,
            item.part.sha256,
            item.captured.sha256,
        ]


def _sums(folder: Path) -> Iterator[str]:
    for path in files.below(folder):
        with files.storage_errors(path), path.open("rb") as file:
            yield f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n"

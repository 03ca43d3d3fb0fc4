"""Sending an export: made in a private folder, written to the custody log, then streamed as a ZIP and wiped."""

from __future__ import annotations

import hashlib
from collections.abc import Generator

from django.db import transaction
from django.http import HttpRequest, HttpResponseBase

from desk.cases.models import Case
from desk.custody import log
from desk.export.bundle import SUMS, ExportOptions, build_export, top_name
from desk.export.case_content import CaseContent, require_present, sealed_bytes
from desk.export.models import Export
from desk.export.private_folder import PrivateFolder, require_room
from desk.export.zip_stream import files_below, zip_pieces
from desk.people.models import Person
from desk.streaming import stream

__all__ = ["remember_export", "send_export", "send_folder"]


def send_export(
    request: HttpRequest, case: Case, options: ExportOptions, *, person: Person, actor: Person | str
) -> HttpResponseBase:
    """Makes the export of a case and returns its download. Raises `DoorwardError`, and then nothing is left behind.

    `person`: responsible for the export. `actor`: the person, or the program that acts for the person.
    """
    require_room(sealed_bytes(case), copies=options.with_credentials)
    private = PrivateFolder()
    try:
        content = build_export(case, private.path, options)
        sums = hashlib.sha256((private.path / SUMS).read_bytes()).hexdigest()
        detail = {
            "certificates": list(options.jurisdictions),
            "with_keys": options.with_keys,
            "with_credentials": options.with_credentials,
        }
        # In the log before the first byte leaves, so that a broken connection cannot hide an export.
        remember_export(content, "evidence", sums, person, actor, **detail)
    except BaseException:
        private.close()
        raise
    return send_folder(request, private, top_name(case.number))


@transaction.atomic
def remember_export(
    content: CaseContent, kind: str, sha256: str, person: Person, actor: Person | str, **detail: object
) -> None:
    """Stores what was exported, and writes it to the custody log. Raises `ConfigurationError` if it was deleted."""
    require_present(content)
    case = content.case
    Export.objects.create(case=case, kind=kind, made_by=person, sha256=sha256)
    action = "case.exported" if kind == "evidence" else "report.exported"
    log.record(case.organisation, actor, action, f"case {case.number}", case=case.number, sha256=sha256, **detail)


def send_folder(request: HttpRequest, private: PrivateFolder, top: str) -> HttpResponseBase:
    """Returns the folder as a ZIP. The folder is wiped when the last byte has left, or the browser leaves."""
    return stream(request, _zip_and_wipe(private, top), name=f"{top}.zip", content_type="application/zip")


def _zip_and_wipe(private: PrivateFolder, top: str) -> Generator[bytes, None, None]:
    with private:
        yield from zip_pieces(files_below(private.path, top))

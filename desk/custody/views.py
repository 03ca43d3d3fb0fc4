"""Pages of the auditor: the log, one entry with its proof, downloads, and the comparison with a kept checkpoint."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from agent.core.ledger.checkpoint import Checkpoint as OpenedCheckpoint
from agent.core.ledger.checkpoint import check_progress, open_desk_checkpoint, verifier_key
from agent.core.ledger.merkle import check_inclusion
from agent.errors import FormatError
from desk.custody import log, tree
from desk.custody.entries import encode_entry, entry_hash
from desk.custody.forms import CompareForm, FilterForm
from desk.custody.keys import desk_key
from desk.custody.log_file import make_growth, write_log
from desk.custody.models import Checkpoint, Entry
from desk.people.models import Organisation
from desk.people.permissions import Action, DeskRequest, needs
from desk.streaming import attachment, stream

__all__ = ["checkpoint", "compare", "download", "entry_extract", "entry_page", "log_page"]

_PAGE: Final = 50
_BATCH: Final = 2000


@require_safe
@needs(Action.AUDIT)
def log_page(request: DeskRequest) -> HttpResponse:
    """The newest entries first, and what an auditor may download."""
    form = FilterForm(request.GET or None)
    entries = Entry.objects.filter(organisation=request.organisation).order_by("-number")
    if form.is_bound:
        form.full_clean()  # a field with an error filters nothing, and the others do
        entries = form.narrowed(entries)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 18:
        entries = entries.filter(number__lt=int(before))
    shown = list(entries[: _PAGE + 1])
    older = request.GET.copy()
    if len(shown) > _PAGE:
        older["before"] = str(shown[_PAGE - 1].number)
    kept = Checkpoint.objects.filter(organisation=request.organisation).order_by("-pk").select_related("made_by")
    context = {
        "form": form,
        "entries": shown[:_PAGE],
        "older": older.urlencode() if len(shown) > _PAGE else "",
        "compare": CompareForm(),
        "filtered": any(request.GET.get(name) for name in form.fields),
        "last_kept": kept.first(),
        **_key_and_head(request.organisation),
    }
    return render(request, "custody/log.html", context)


@require_safe
@needs(Action.AUDIT)
def entry_page(request: DeskRequest, number: int) -> HttpResponse:
    """One entry, and the proof that it is in the log."""
    entry = _entry(request.organisation, number)
    data = encode_entry(log.entry_of(entry))
    head, path, problem = _proof(request.organisation, entry, data)
    context = {
        "entry": entry,
        "text": data.decode("utf-8"),
        "leaf": entry_hash(data).hex(),
        "path": [node.hex() for node in path],
        "problem": problem,
        "head": head,
    }
    return render(request, "custody/entry.html", context)


@require_safe
@needs(Action.AUDIT)
def entry_extract(request: DeskRequest, number: int) -> HttpResponse:
    """The entry with its proof, as a file."""
    entry = _entry(request.organisation, number)
    log.record(request.organisation, request.user, "log.downloaded", f"entry {number}")
    data = log.extract(request.organisation, [entry])
    return attachment(data, name=f"custody-entry-{number}.json", content_type="application/json")


@require_safe
@needs(Action.AUDIT)
def download(request: DeskRequest) -> HttpResponseBase:
    """The whole log as a file. Download a checkpoint afterwards: it covers at least these entries."""
    organisation = request.organisation
    last = log.record(organisation, request.user, "log.downloaded", "log")

    def pieces() -> Generator[bytes, None, None]:
        rows = Entry.objects.filter(organisation=organisation, number__lte=last.number).order_by("number")
        found = rows.select_related("organisation").iterator(chunk_size=_BATCH)
        yield from write_log(log.header_of(organisation), map(log.entry_of, found))

    name = f"custody-log-{organisation.requester_id}.jsonl"
    return stream(request, pieces(), name=name, content_type="application/jsonl")


@require_POST
@needs(Action.AUDIT)
def checkpoint(request: DeskRequest) -> HttpResponse:
    """Makes a checkpoint for the auditor to keep outside the desk."""
    organisation = request.organisation
    with transaction.atomic():
        log.record(organisation, request.user, "checkpoint.made", "log")
        note = log.newest_note(organisation)
        opened = open_desk_checkpoint(note, desk_key(), organisation.requester_id)
        Checkpoint.objects.create(
            organisation=organisation, size=opened.size, root=opened.root, made_by=request.user, note=note.decode()
        )
    name = f"checkpoint-{organisation.requester_id}-{opened.size}.txt"
    return attachment(note, name=name, content_type="text/plain; charset=utf-8")


@require_POST
@needs(Action.AUDIT)
def compare(request: DeskRequest) -> HttpResponse:
    """Compares the log with a checkpoint that the auditor kept, and offers the proof as a file."""
    form = CompareForm(request.POST, request.FILES)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        kept_note = form.cleaned_data["checkpoint"]
        outcome = _compared(request.organisation, kept_note)
        if "proof" in request.POST and outcome["proof"] is not None:
            return attachment(outcome["proof"], name="custody-growth.json", content_type="application/json")
        context |= outcome
    return render(request, "custody/compare.html", context, status=200 if form.is_valid() else 400)


def _compared(organisation: Organisation, kept_note: bytes) -> dict[str, Any]:
    """Returns `ok`, both sizes, the growth proof, and the problem in words."""
    key, name = desk_key(), organisation.requester_id
    new_note = log.newest_note(organisation)
    outcome: dict[str, Any] = {"ok": False, "proof": None}
    try:
        old, new = (open_desk_checkpoint(note, key, name) for note in (kept_note, new_note))
    except FormatError:
        return outcome | {"problem": _("This is not a checkpoint of this log, or the desk's key did not sign it.")}
    outcome |= {"old": old.size, "new": new.size}
    if old.size > new.size:
        return outcome | {"problem": _("The log is shorter than your checkpoint: an old backup was put back.")}
    try:
        proof = tree.consistency_proof(old.size, new.size, log.row_reader(organisation))
        check_progress(old, new, proof)
    except FormatError:
        return outcome | {"problem": _("The log does not continue your checkpoint: it was rewritten.")}
    return outcome | {"ok": True, "proof": make_growth(log.header_of(organisation), kept_note, new_note, proof)}


def _entry(organisation: Organisation, number: int) -> Entry:
    found = Entry.objects.filter(organisation=organisation, number=number).select_related("organisation").first()
    if found is None:
        raise Http404
    return found


def _proof(
    organisation: Organisation, entry: Entry, data: bytes
) -> tuple[OpenedCheckpoint | None, tuple[bytes, ...], str]:
    """Returns the newest checkpoint, the path of the entry, and the problem if they do not fit."""
    try:
        head = open_desk_checkpoint(log.newest_note(organisation), desk_key(), organisation.requester_id)
        path = tree.inclusion_proof(entry.number, head.size, log.row_reader(organisation))
        check_inclusion(entry_hash(data), entry.number, head.size, head.root, path)
    except FormatError:
        return None, (), _("The proof does not hold: the log was changed. Run “doorward-desk audit”.")
    return head, path, ""


def _key_and_head(organisation: Organisation) -> dict[str, Any]:
    key = desk_key()
    try:
        head = open_desk_checkpoint(log.newest_note(organisation), key, organisation.requester_id)
    except FormatError:
        head = None
    return {"head": head, "key": key.text, "verifier_key": verifier_key(key, organisation.requester_id)}

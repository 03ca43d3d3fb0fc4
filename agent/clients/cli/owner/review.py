"""`doorward owner review` and its text: neutral words, no countdown, no preselection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import counted, in_words, listed, say, spoken
from agent.clients.cli.area_outline import NEAR_M, near, outline
from agent.clients.cli.owner.ledger import entry_line, say_doubts
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, match_one
from agent.clients.cli.owner.shared import shared_document, shared_lines
from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.ledger_reader import read_ledger
from agent.clients.owner.mp4_export import ClipFiles, export_review
from agent.clients.owner.review import RequestReview, ReviewedClip, ReviewedSegment
from agent.clients.owner.shared_footage import SharedFootage, disclosure_of, shared_of
from agent.clients.owner.sync import DeviceChannel, sync
from agent.clients.promise import (
    days_in_words,
    kept_in_words,
    namesake_in_words,
    no_calling_back,
    onward_in_words,
    promised,
)
from agent.core.consent import RequestState
from agent.errors import FormatError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import ListRequests
from agent.wire.area import share_near
from agent.wire.disclosures import ReceiptState
from agent.wire.statements import Approval, SealedItem

__all__ = ["as_document", "find_request", "opening_progress", "review", "show", "warning"]


@click.command()
@click.argument("request_id", metavar="[REQUEST]", required=False)
@keys_option
@device_option
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Open posters and segments into this folder, to view them.",
)  # fmt: skip
@json_option
def review(request_id: str | None, folder: Path, device: Path, out: Path | None, as_json: bool) -> None:
    """Review a footage request and the matching footage.

    REQUEST is its id or the beginning of it. Without REQUEST, it lists the requests that wait for you.  A review
    changes nothing, and the requester learns nothing.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        if request_id is None:
            _list(link, keys, as_json)
            return
        name = find_request(link, request_id)
        entries = read_ledger(link, keys).entries
        disclosure = disclosure_of(entries, name)
        left = shared_of(link, sync(link, keys), entries, disclosure, keys.identity) if disclosure else None
        seen = _fetched(link, keys, name, left)
        seen.note_numbers()
        written = tuple(_open_all(seen, out)) if out is not None else ()
    history = [entry for entry in entries if entry.request == seen.request.id]
    if as_json:
        told = {"shared": shared_document(left), "history": [msgspec.to_builtins(entry) for entry in history]}
        emit_json(as_document(seen, written) | told)
        return
    show(seen, written)
    _say_shared(left, seen.requester.name)
    for entry in history:
        click.echo(f"    {entry_line(entry)}")
    say_doubts(history)
    if out is None:
        say(f"\nTo view it:  doorward owner review {seen.name[:8]} --out FOLDER")
    if seen.pending and not seen.expired(wall_ms()):
        _say_ways_on(seen)


def _fetched(link: DeviceChannel, keys: OwnerKeys, name: str, left: SharedFootage | None) -> RequestReview:
    """Fetches the request. If it no longer verifies, prints what already left, then raises the error."""
    try:
        return RequestReview.fetch(link, keys, name)
    except FormatError:
        _say_shared(left)
        raise


def _say_shared(left: SharedFootage | None, requester: str | None = None) -> None:
    for line in shared_lines(left, requester) if left is not None else ():
        click.echo(line)


def _say_ways_on(seen: RequestReview) -> None:
    short = seen.name[:8]
    say("")
    if seen.can_co_approve and seen.first is not None:
        say(f"To approve the same:  doorward owner co-approve {short}")
        say(f"Or something else:  doorward owner approve {short}")
    elif seen.first is not None:
        say(f"It waits for another owner, on their machine:  doorward owner co-approve {short}")
        say(f"Or something else:  doorward owner approve {short}")
    else:
        click.echo(warning(seen))
        say(f"To share some of it:  doorward owner approve {short}")
    say(f"To deny it:  doorward owner deny {short}")
    say(f"To deny it and opt out of this kind:  doorward owner deny {short} --opt-out kind")
    say("You need not answer.  To the requester a denial looks like no answer: they hear nothing.")


def warning(seen: RequestReview) -> str:
    """Returns what an owner must know before the yes: the promises of the request, and that they cannot be enforced.

    It is in the language of the terminal, as the owner's page has it.
    """
    language = spoken()
    name, root = seen.requester.name, seen.requester.root
    namesake = f"{namesake_in_words(name, root, language)} " if seen.has_namesake else ""
    return f"{namesake}{promised(seen.request, name, language)}\n{no_calling_back(language)}"


def find_request(link: DeviceChannel, start: str, tips: Iterable[str] = ()) -> str:
    """Returns the id of the request that begins with `start`, or that has a disclosure with such an id.

    `tips`: ids of tips, which are found as well. Raises `ConfigurationError` if `start` means none, or more than one.
    """
    listed = link.ask(ListRequests(all=True)).requests
    by_disclosure = {item.disclosure: item.id for item in listed if item.disclosure}
    found = match_one("request", start, [*(item.id for item in listed), *by_disclosure, *tips])
    return by_disclosure.get(found, found)


def show(seen: RequestReview, written: Iterable[ClipFiles] = ()) -> None:
    """Prints the review. A requester's words are printed as text, never as markup."""
    console = Console(highlight=False)
    request, requester = seen.request, seen.requester
    kind = in_words(requester.kind.value)
    console.print(Text.assemble((requester.name, "bold"), f" ({kind}): ", in_words("a request for footage")))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", justify="right")
    facts.add_column()
    for name, value in _facts(seen):
        facts.add_row(in_words(name), Text(value))
    console.print(facts)
    drawn = list(outline(request.area, seen.position))
    for line in drawn:
        console.print(Text(f"          {line}"), soft_wrap=True)
    if any("@" in line for line in drawn):
        console.print(Text(f"          {in_words('North is up. @ is your door.')}"), soft_wrap=True)
    files = {each.clip.number: each for each in written}
    for clip in seen.clips:
        length = words.duration(sum(each.end_ms - each.start_ms for each in clip.segments))
        console.print(
            Text.assemble(
                "\n", (f"{in_words('Clip')} {clip.number}", "bold"), f"  {words.day(clip.start_ms)} UTC, {length}"
            )
        )
        shown = files.get(clip.number)
        if shown is not None:
            for path in filter(None, (shown.still, shown.video)):
                console.print(Text(f"    {path}"), soft_wrap=True)
        for each in clip.segments:
            seen_there = words.labels(shown.seen.get(each.number)) if shown is not None else ""
            console.print(Text(f"  {each.number:>4}  {_segment_line(each)}{seen_there}"))
        for note in shown.notes if shown is not None else ():
            console.print(Text(f"    {in_words(note)}", style="yellow"), soft_wrap=True)
    for line in _said(seen):
        console.print(Text(in_words(line)), soft_wrap=True)
    console.print(Text(f"\n{in_words('Request')} {request.id}: {in_words(seen.state)}."))


def _said(seen: RequestReview) -> Iterator[str]:
    """Yields the responses until now: of another owner and of the requester."""
    if seen.first is not None:
        yield f"\nIt takes two owners.  {seen.first.by} has approved {_approved(seen, seen.first.approval)}."
    elif seen.approvals_needed == 2 and seen.pending:
        yield "\nIt takes two owners: an approval of one waits for the other."
    if seen.waits_s:
        yield f"\nIt leaves in {words.duration(seen.waits_s * 1000)} at the earliest; until then you can revoke it."
    if seen.receipt is not None and seen.receipt.state is ReceiptState.COMPLETE:
        days = seen.receipt.retention_days
        kept = "They repeat no promise how long they keep it." if days is None else _kept(days)
        yield f"\nThey signed a receipt, for case {words.plain(seen.request.case)}.  {kept}"
        if seen.receipt.time_s:
            yield f"It is of {words.day(seen.receipt.time_s * 1000)} UTC."
        if days is not None and days > seen.request.retention_days:
            yield f"When you shared, they had promised {days_in_words(seen.request.retention_days, spoken())}."
        unopened = sum(span.last - span.first + 1 for span in seen.receipt.unopened)
        if unopened:
            yield f"They could not open {counted(unopened, 'file')} of it."
    elif seen.receipt is not None:
        yield "\nThey signed a refusal of it."
    if seen.deletion is not None:
        yield f"They signed that all of it is deleted, {words.day(seen.deletion.deleted_s * 1000)} UTC."


def _kept(days: int) -> str:
    if not days:
        return "They state that they keep none."
    return f"They state that they keep it for {days_in_words(days, spoken())}."


def _approved(seen: RequestReview, approval: Approval) -> str:
    """`segments 1, 2, the poster of clip 1 and that clip 2 exists`, as this review numbers them."""
    segments = [str(each.number) for each in seen.segments if each.id in {item.id for item in approval.segments}]
    posters = [str(clip.number) for clip in seen.clips if {each.id for each in clip.segments} & _ids(approval.posters)]
    said = [
        segments and f"segments {', '.join(segments)}",
        posters and f"the poster of {in_words('clip' if len(posters) == 1 else 'clips')} {', '.join(posters)}",
        approval.sounds and f"the sound of {counted(len(approval.sounds), 'segment')}",
        approval.clips and f"the existence of footage: {counted(len(approval.clips), 'clip')}",
        approval.gaps is not None and "the contents of the rest of the window",
        approval.contact is not None and "contact data that only the requester can read",
    ]
    return listed([in_words(each) for each in said if each])


def _ids(items: Iterable[SealedItem]) -> set[str]:
    return {item.id for item in items}


def as_document(seen: RequestReview, written: Iterable[ClipFiles] = ()) -> dict[str, Any]:
    """The review as `--json` gives it."""
    request, requester = seen.request, seen.requester
    files = {each.clip.number: each for each in written}
    return {
        "request": request.id,
        "state": seen.state,
        "expired": seen.expired(wall_ms()),
        "requester": {"id": requester.id, "name": requester.name, "kind": requester.kind, "root": requester.root},
        "case": request.case,
        "incident": request.incident,
        "description": request.description,
        "from_s": request.from_s,
        "to_s": request.to_s,
        "not_after_s": request.not_after_s,
        "language": request.language,
        "retention_days": request.retention_days,
        "onward": {"to": [kind.value for kind in request.onward.to], "basis": request.onward.basis},
        "certain": seen.certain,
        "disclosure": seen.disclosure,
        "approvals_needed": seen.approvals_needed,
        "first_approval": seen.first
        and {
            "by": seen.first.by,
            "segments": [item.id for item in seen.first.approval.segments],
            "posters": [item.id for item in seen.first.approval.posters],
            "sounds": [item.id for item in seen.first.approval.sounds],
            "clips_told": len(seen.first.approval.clips or ()),
            "contact": seen.first.approval.contact is not None,
        },
        "waits_s": seen.waits_s,
        "receipt": seen.receipt and msgspec.to_builtins(seen.receipt),
        "deleted_s": seen.deletion and seen.deletion.deleted_s,
        "area": {
            "size_m2": round(request.area.opened_m2),
            "within_200_m": share_near(request.area, *seen.position, NEAR_M) if seen.position else None,
        },
        "clips": [_clip_as_document(clip, files.get(clip.number)) for clip in seen.clips],
    }


def _clip_as_document(clip: ReviewedClip, written: ClipFiles | None) -> dict[str, Any]:
    return {
        "number": clip.number,
        "event": clip.event,
        "start_ms": clip.start_ms,
        "end_ms": clip.end_ms,
        "video": written.video if written else None,
        "still": written.still if written else None,
        "notes": list(written.notes) if written else [],
        "segments": [
            {
                "number": each.number,
                "id": each.id,
                "start_ms": each.start_ms,
                "end_ms": each.end_ms,
                "clock": each.record.quality,
                "cut": each.is_cut,
                "video": written.segments.get(each.number) if written else None,
                "seen": _seen(written, each.number),
            }
            for each in clip.segments
        ],
    }


def _seen(written: ClipFiles | None, segment: int) -> list[str] | None:
    """Returns None if the segment stayed sealed or object detection was off."""
    labels = written.seen.get(segment) if written is not None else None
    return None if labels is None else [label.value for label in labels]


def opening_progress(total: int) -> tuple[Progress, Callable[[], None]]:
    """A progress bar on standard error, and what to call for each segment opened."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn(in_words("Opening")), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    task = progress.add_task("", total=total)
    return progress, lambda: progress.advance(task)


def _open_all(seen: RequestReview, out: Path) -> Iterator[ClipFiles]:
    progress, advance = opening_progress(len(seen.segments))
    with progress, ConfinedMedia() as media:
        for clip in seen.clips:
            yield export_review(seen, clip, out, advance, media=media)


def _facts(seen: RequestReview) -> Iterator[tuple[str, str]]:
    request = seen.request
    from_ms, to_ms = request.from_s * 1000, request.to_s * 1000
    yield "case", f"{request.case}, {in_words(request.incident.value)}"
    yield "they write", request.description
    yield "window", words.window(from_ms, to_ms)
    local = words.local_window(from_ms, to_ms)
    if local:
        yield "", local
    yield "area", words.area(request.area)
    yield "", near(request.area, seen.position)
    reach = " / ".join(filter(None, (request.contact.email, request.contact.phone)))
    yield "contact", f"{request.contact.name}, {reach}"
    language = spoken()
    yield "kept", kept_in_words(request, language)
    yield "passed on to", onward_in_words(request.onward, language)
    if request.onward.basis is not None:
        yield "", f"{in_words('in their words:')} {request.onward.basis}"
    over = seen.expired(wall_ms())
    yield "answer", in_words("expired" if over else f"possible until {words.day(request.not_after_s * 1000)}")
    length = words.duration(sum(each.end_ms - each.start_ms for each in seen.segments))
    clips, segments = counted(len(seen.clips), "clip"), counted(len(seen.segments), "segment")
    if seen.pending or seen.segments:  # the device forgets the matches of a request that ended without a disclosure
        yield "matches", f"{clips}, {segments}, {length}"
    if seen.segments and not seen.certain:
        yield "", in_words("the device's clock was not synchronised: the times may be wrong")


def _segment_line(each: ReviewedSegment) -> str:
    line = f"{words.clock(each.start_ms)}  {words.duration(each.end_ms - each.start_ms)}"
    line += f"  {in_words('with sound')}" if each.has_sound else ""
    cut = in_words("its end is missing; the complete part can be shared")
    return f"{line}  ({cut})" if each.is_cut else line


def _list(link: DeviceChannel, keys: OwnerKeys, as_json: bool) -> None:
    """Lists every waiting request, with its review or the reason why it cannot be reviewed."""
    rows: list[dict[str, Any]] = []
    for item in link.ask(ListRequests()).requests:
        if item.state not in (RequestState.PENDING.value, RequestState.PARTIALLY_APPROVED.value):
            continue
        try:
            rows.append(as_document(RequestReview.fetch(link, keys, item.id)))
        except FormatError as error:
            rows.append({"request": item.id, "problem": str(error)})
    if as_json:
        emit_json({"requests": rows})
        return
    if not rows:
        say("No request is waiting for you.")
    for row in rows:
        name = words.plain(row["request"])[:8]
        if "problem" in row:
            click.echo(f"{name}  {in_words('failed verification:')} {in_words(row['problem'])}")
            continue
        who = row["requester"]
        segments = sum(len(clip["segments"]) for clip in row["clips"])
        click.echo(f"{name}  {who['name']} ({in_words(who['kind'].value)}), {in_words('case')} {row['case']}")
        if row["first_approval"]:
            say(f"          {row['first_approval']['by']} has approved some of it; it waits for another owner")
        click.echo(
            f"          {words.window(row['from_s'] * 1000, row['to_s'] * 1000)}: "
            f"{counted(len(row['clips']), 'clip')}, {counted(segments, 'segment')}"
        )
    if rows:
        say("\nTo review one:  doorward owner review REQUEST")

"""`doorward requester verify` and `open`: offline, from the folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.clients.cli.requester.options import folder_option, now_s
from agent.clients.promise import kept_in_words, onward_in_words
from agent.clients.requester.grades import grades_of
from agent.clients.requester.identity import Requester
from agent.clients.requester.incoming_tips import OpenedTip, open_tip
from agent.clients.requester.known_doorbells import DoorbellHistory
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.time_trust import read_time_trust
from agent.clients.requester.verification import CheckOutcome, Verification, examine
from agent.clients.time_confirmations import NOT_OF_THIS_LEDGER, find_time, time_document
from agent.core.ledger.checkpoint import open_checkpoint
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.disclosures import PartKind
from agent.wire.time_proofs import TIME_OPENING_LIMIT_BYTES, TimeOpening

__all__ = ["open_", "tips_", "verify"]


@click.command()
@folder_option
@click.argument("disclosure", required=False)
@click.option(
    "--time", "time_file", type=click.Path(path_type=Path, dir_okay=False), help="The owner's proof of time; kept."
)
@json_option
def verify(folder: Path, disclosure: str | None, time_file: Path | None, as_json: bool) -> int:
    """Check DISCLOSURE (default: the only one) from the folder alone.  Exit status 1 if a check fails.

    Works offline.  The beginning of the id is enough.  FOLDER/time names the witnesses and time-stampers you trust:
    witnesses.txt (a verifier key a line) and *.pem (certificates of authorities).
    """
    who = Requester.open(folder)
    name = _disclosure(who, disclosure)
    if time_file is not None:
        _keep_time(who, name, files.read(time_file, TIME_OPENING_LIMIT_BYTES))
    verification = examine(who, name)
    if as_json:
        emit_json(_verdict(verification))
    else:
        _say_checks(verification)
        _say_proven(verification)
    return 0 if verification.ok else 1


def _keep_time(who: Requester, name: str, data: bytes) -> None:
    """Stores the owner's proof of time. Raises `OpenError` if it is not of this answer: it could not be taken out."""
    disclosed = examine(who, name).disclosed
    if disclosed is None:
        raise OpenError("This answer does not verify.")
    opening = strictjson.decode(data, TimeOpening, limit_bytes=TIME_OPENING_LIMIT_BYTES)
    manifest, owner_time_ms = disclosed.manifest, disclosed.approval.owner_time_ms
    ledger = open_checkpoint(manifest.ledger.checkpoint.encode(), manifest.device_keys)
    trust = read_time_trust(who.notes)
    try:
        doubts = find_time(manifest.device_keys, ledger, owner_time_ms, trust, None, (opening,)).doubts
    except OpenError:
        doubts = ()  # the device signed two different ledgers: the file is the evidence, and the verdict says so
    if NOT_OF_THIS_LEDGER in doubts:
        raise OpenError(NOT_OF_THIS_LEDGER)
    who.answer(name).add_time_opening(data)


@click.command("open")
@folder_option
@click.argument("disclosure", required=False)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="[FOLDER/opened/DISCLOSURE]")
@click.option(
    "--c2pa", is_flag=True, help="Also write copies of the films, sounds and stills with Content Credentials."
)
@json_option
def open_(folder: Path, disclosure: str | None, out: Path | None, c2pa: bool, as_json: bool) -> int:
    """Verify DISCLOSURE (default: the only one), then write its MP4s, report.html and bundle/.

    If a check fails, the report names it, no video is written, and the exit status is 1.
    """
    who = Requester.open(folder)
    opened = open_disclosure(who, _disclosure(who, disclosure), now_s=now_s(), out=out, credentials=c2pa)
    verification = opened.verification
    if as_json:
        emit_json(
            _verdict(verification)
            | {"folder": opened.folder, "report": opened.report, "bundle": opened.bundle, "merged": opened.merged}
            | {"unopened": [{"part": each.number, "why": each.unopened} for each in verification.unopened]}
            | {"clips": [each.mp4 for each in opened.clips if each.mp4], "segments": list(opened.mp4s)}
        )
        return 0 if verification.ok else 1
    _say_checks(verification)
    if verification.ok:
        grades = grades_of(verification)
        for line in grades.lines:
            click.echo(f"  {line}")
        for each in opened.clips:
            what = f"{each.seconds:.1f} s" if each.mp4 else "segments only" if each.problem else "poster only"
            click.echo(f"  clip {each.clip.number}: {what}  {each.mp4 or each.picture or each.segments[0].parent}")
            if each.problem:
                click.echo(f"    Its segments cannot be joined into one film: {words.plain(each.problem)}")
        for told in grades.told:
            when = words.window(told.from_ms, told.to_ms)
            click.echo(f"  exists: {when}, {words.counted(told.segments, 'segment')}, {told.shared} of them shared")
        if opened.merged:
            click.echo(f"  everything: {opened.merged}")
    click.echo(f"  report: {opened.report}")
    if files.is_there(by_hand := opened.report.parent / "bundle" / "VERIFY.txt"):
        click.echo(f"  to check it without this program: {by_hand}")
    return 0 if verification.ok else 1


def _disclosure(who: Requester, beginning: str | None) -> str:
    folder, found = who.folder, who.answers.beginning_with(beginning or "")
    if not found:
        who.answers.reconcile()  # a person may have put the folder there
        found = who.answers.beginning_with(beginning or "")
    if len(found) == 1:
        return found[0].disclosure
    if beginning is not None and not found:
        raise ConfigurationError(
            f"There is no disclosure {beginning} in {folder}.", remedy="Receive it first: doorward requester receive"
        )
    if not found:
        raise ConfigurationError(
            "No disclosure has arrived yet.", remedy="Receive it first: doorward requester receive"
        )
    shown = "".join(f"\n    {each.disclosure}" for each in found)
    raise ConfigurationError(
        f"There are {len(found)} disclosures in {folder}.", remedy=f"Name one by the beginning of its id:{shown}"
    )


def _tips(who: Requester, beginning: str) -> list[str]:
    if not who.answers.tips():
        who.answers.reconcile()  # a person may have put the folders there
    return [name for name in who.answers.tips() if name.startswith(beginning)]


@click.command("tips")
@folder_option
@click.argument("tip", required=False)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write its footage into this folder.")
@json_option
def tips_(folder: Path, tip: str | None, out: Path | None, as_json: bool) -> int:
    """Read tips that owners sent unasked.  Exit status 1 if one of them is unreadable.

    TIP is the id of one, or the beginning of it.  A tip hides its sender, and its words are unproven. Footage in it is
    checked against the signature of the camera that recorded it.  The tip does not say to which owner the camera
    belongs.
    """
    who = Requester.open(folder)
    names = _tips(who, tip or "")
    if tip is not None and len(names) != 1:
        raise ConfigurationError(f"There are {len(names)} tips '{tip}' in {folder}.", remedy="Give more of the id.")
    opened: list[OpenedTip] = []
    unread: dict[str, str] = {}
    written: dict[str, list[Path]] = {}
    for name in names:
        # Any owner can send a tip, so a bad one must not hide the others.
        try:
            found = open_tip(who, name)
            if out is not None:
                written[name] = _written(found, out)
        except FormatError as error:
            unread[name] = error.message
            continue
        opened.append(found)
    if as_json:
        emit_json(
            {
                "tips": [
                    {
                        "tip": each.tip,
                        "text": each.text,
                        "camera": each.device,
                        "camera_mldsa": each.device_mldsa,
                        "files": written.get(each.tip, []),
                    }
                    for each in opened
                ],
                "unread": [{"tip": name, "why": why} for name, why in unread.items()],
            }
        )
        return 1 if unread else 0
    if not names:
        click.echo("There are no tips.")
    for each in opened:
        click.echo(f"{each.tip}  {words.plain(each.text or '(no words)')}")
        for file in each.files:
            said = f"cannot be opened: {words.plain(file.unopened)}" if file.unopened else f"camera {each.device}"
            click.echo(f"    {file.kind.value} of {words.day(file.start_ms)} UTC, {said}")
        for path in written.get(each.tip, []):
            click.echo(f"    {path}")
    for name, why in unread.items():
        click.secho(f"{name}  cannot be read: {words.plain(why)}", fg="yellow")
    return 1 if unread else 0


def _written(opened: OpenedTip, out: Path) -> list[Path]:
    folder = files.make_folder(files.make_folder(out) / opened.tip)
    paths = []
    for number, file in enumerate(opened.files, start=1):
        if file.unopened:
            continue
        ending = "mp4" if file.kind is PartKind.SEGMENT else "jpg"
        path = folder / f"{file.kind.value}-{number:03}.{ending}"
        files.write(path, file.data)
        paths.append(path)
    return paths


def _say_checks(verification: Verification) -> None:
    marks = {
        CheckOutcome.PASSED: click.style("✓", fg="green"),
        CheckOutcome.FAILED: click.style("✗", fg="red", bold=True),
        CheckOutcome.NOT_REACHED: click.style("·", dim=True),
    }
    for check in verification.checks:
        click.echo(f"  {marks[check.outcome]} {check.kind.value}")
        if check.outcome is CheckOutcome.FAILED:
            click.echo(f"    {check.said}")
    for each in verification.unopened:
        what = f"part {each.number}, {each.item.part.kind.value} of {words.day(each.item.record.span.start_ms)} UTC"
        click.secho(f"  {what}, cannot be opened: {words.plain(each.unopened)}", fg="yellow")
    if verification.ok:
        click.secho("Every check holds.", fg="green", bold=True)
    else:
        click.secho("This disclosure does not verify.  Do not rely on it.", fg="red", bold=True)


def _say_proven(verification: Verification) -> None:
    """Prints what the checks prove, and their limits."""
    request, disclosed = verification.request, verification.disclosed
    if request is None or disclosed is None:
        return
    approval, receipt = disclosed.approval, verification.receipt
    owners = f"“{disclosed.approver}”" + (f" and “{disclosed.co_approver}”" if disclosed.co_approver else "")
    clocks = sorted({each.item.record.quality.value for each in verification.items})
    signed = "none is kept here"
    if receipt is not None:
        days = receipt.retention_days
        signed = "signed for all of it, " + ("no retention stated" if days is None else f"kept for {days} days")
    for name, said in (
        ("asked", f"{request.requester} ({request.kind.value}), case {request.case}"),
        ("promised", f"kept for {kept_in_words(request)}; passed on to: {onward_in_words(request.onward)}"),
        ("window", words.window(request.from_s * 1000, request.to_s * 1000)),
        ("agreed", f"{owners}, {words.day(approval.owner_time_ms)} UTC by their own clock"),
        ("the door", _door(verification.door)),
        ("shared", "; ".join(grades_of(verification).lines)),
        ("clock", ", ".join(clocks) or "no footage"),
        ("the rest", "not disclosed" if approval.gaps is None else words.counted(len(approval.gaps), "span") + " told"),
        ("receipt", signed),
        ("time", verification.time.said),
    ):
        click.echo(f"  {name:<9} {words.plain(said)}")
    click.echo("Not proven: the address and person behind the door, a genuine scene, that there is no more footage.")


def _door(door: DoorbellHistory) -> str:
    """Returns a sentence about the earlier answers of the doorbell to this requester."""
    if door.seen_s is None:
        return "first seen with this answer: only its own key vouches for its first owners"
    return f"first seen {words.day(door.seen_s * 1000)} UTC; its owners are the same as then, or were added by them"


def _verdict(verification: Verification) -> dict[str, Any]:
    failed = verification.failed
    return {
        "disclosure": verification.disclosure,
        "ok": verification.ok,
        "failed": failed.kind.name.lower() if failed else None,
        "said": failed.said if failed else None,
        "request": verification.request.id if verification.request else None,
        "door": {"seen_s": verification.door.seen_s, "stolen_since_s": verification.door.stolen_since_s},
        "time": time_document(verification.time) if verification.ok else None,
        "checks": {check.kind.name.lower(): check.outcome.value for check in verification.checks},
    }

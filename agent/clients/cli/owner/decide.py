"""`doorward owner approve`, `second`, `deny` and `revoke`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from agent.cli import words
from agent.cli.frame import emit_json, json_option
from agent.cli.language import confirm, in_words, prompt, say
from agent.clients.cli.owner.options import device_option, keys_option, load_keys, yes_option
from agent.clients.cli.owner.redact import redacted_choice
from agent.clients.cli.owner.review import find_request, show, warning
from agent.clients.cli.owner.selection import choice_of, shared, summary
from agent.clients.owner import decisions
from agent.clients.owner.clock import wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.review import RequestReview, request_payload
from agent.clients.owner.sync import sync
from agent.core.consent import RequestState
from agent.core.timebase import utc_date
from agent.errors import ConfigurationError, FormatError, RequestError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetRequest, ListTips
from agent.wire import strictjson
from agent.wire.disclosures import ContactCard
from agent.wire.messages import FootageRequest
from agent.wire.statements import FootageAbsence, Scope

__all__ = ["approve", "co_approve", "deny", "revoke"]

_NOTHING: Final = "Nothing was or will be sent."


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@click.option("--segments", metavar="NUMBERS", help="Segments to share, as the review numbers them: 1,3-5.  Or ids.")
@click.option("--clips", metavar="NUMBERS", help="Clips to share as a whole: 1,3-5, or all.")
@click.option("--posters", metavar="NUMBERS", help="Clips to share as a poster only: 1,3-5, or all.")
@click.option(
    "--exists",
    metavar="NUMBERS",
    help="Clips whose existence and time to share, without pictures: 1,3-5, or all.",
)
@click.option("--sound", is_flag=True, help="Also share the sound of these segments.")
@click.option(
    "--redact",
    "plan",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Cover faces, plates and areas and mute voices, as this plan says.  See first: doorward owner redact.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="Tell the requester your name.  Without this option and the next three they learn nothing about you.",
)
@click.option("--street", metavar="ADDRESS", help="Tell them your address.")
@click.option("--email", metavar="EMAIL", help="Tell them your e-mail address.")
@click.option("--note", metavar="WORDS", help="Add a message.")
@click.option(
    "--gaps",
    is_flag=True,
    help="Tell them what the rest of the window contains: nothing happened, privacy switch, device off, …  "
    "They then also learn when there is footage that you do not share.",
)
@yes_option
@json_option
def approve(
    request_id: str, folder: Path, device: Path, segments: str | None, clips: str | None, posters: str | None,
    exists: str | None, sound: bool, plan: Path | None, name: str | None, street: str | None, email: str | None,
    note: str | None, gaps: bool, sure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Share the segments you choose, and only those.

    To share less, use --posters for still pictures, or --exists to say that there is footage and when.  Without any of
    these options you see the request and type the numbers; none are preselected.  View the footage first: doorward
    owner review REQUEST --out FOLDER.

    If approvals take two owners, this one waits for the other: doorward owner co-approve REQUEST.
    """
    keys = load_keys(folder)
    contact = _contact(name, street, email, note)
    with DeviceLink(device) as link:
        seen = RequestReview.fetch(link, keys, find_request(link, request_id))
    _require_undecided(seen.state, seen.name[:8])
    if seen.expired(wall_ms()):
        raise RequestError("This request has expired.", remedy="Nothing was or will be shared.")
    if segments is clips is posters is exists is None:
        show(seen)
        seen.note_numbers()
        say("", err=True)
        segments = prompt("Numbers to share, like 1,3-5 (Enter for none)", default="", show_default=False, err=True)
    seen.require_same_numbers()
    choice = choice_of(seen, segments or "", clips or "", posters or "", exists or "", sound=sound)
    choice = redacted_choice(seen, choice, plan)
    if choice.is_empty:
        raise RequestError("You selected nothing, so nothing is shared.", remedy="To deny it: doorward owner deny.")
    told = None
    if gaps:
        with DeviceLink(device) as link:
            told = decisions.gaps_of(link, keys, seen)
        _show_gaps(told)
    say(warning(seen), err=True)
    if not sure:
        confirm(summary(seen, choice, contact), err=True)
    # Open a new connection, because the device closes idle ones while the owner reads.
    try:
        with DeviceLink(device) as link:
            disclosure = decisions.approve(link, keys, seen, choice, contact, gaps=told)
    except decisions.CannotShareError as error:
        choice = _left_out(seen, error, contact, sure=sure)
        with DeviceLink(device) as link:
            disclosure = decisions.approve(link, keys, seen, choice, contact, gaps=told)
    if as_json:
        emit_json({"request": seen.request.id, "disclosure": disclosure, "segments": list(choice.segments),
                   "sound": choice.sound,
                   "redacted": list(choice.redacted),
                   "posters": [clip.number for clip in choice.posters],
                   "exists": [clip.number for clip in choice.told]})  # fmt: skip
        return
    _say_approved(seen, choice, disclosure)
    if disclosure is not None:
        _say_take_back(device, seen.name[:8])


def _say_approved(seen: RequestReview, choice: decisions.ShareChoice, disclosure: str | None) -> None:
    short = seen.name[:8]
    for each in seen.segments:
        if each.id in choice.segments:
            what = "video, redacted by you" if choice.redactions.films.get(each.id) else "video"
            say(f"    leaves: {in_words(what)}, {words.instant(each.start_ms)} UTC")
    for clip in choice.posters:
        say(f"    leaves: the still of clip {clip.number}, {words.day(clip.start_ms)} UTC")
    if disclosure is None:
        say(f"Approved by you: {shared(choice)} for {seen.requester.name}.  Nothing is sent yet: it takes two owners.")
        say(f"Another owner must approve the same:  doorward owner co-approve {short}")
        say(f"To revoke it, deny the request:  doorward owner deny {short}")
        return
    say(f"Approved: {shared(choice)} for {seen.requester.name}, disclosure {disclosure}.")


def _left_out(
    seen: RequestReview, error: decisions.CannotShareError, contact: ContactCard | None, *, sure: bool
) -> decisions.ShareChoice:
    """Returns the choice without the items that cannot be shared, after the owner has agreed. With --yes it does not
    ask."""
    if error.rest.is_empty or sure:
        raise error
    say(error.message, err=True)
    confirm(f"{in_words('Leave that out?')}  {summary(seen, error.rest, contact)}", err=True)
    return error.rest


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@yes_option
@json_option
def co_approve(request_id: str, folder: Path, device: Path, sure: bool, as_json: bool) -> None:
    """Approve exactly the footage that another owner has approved, if it takes two.

    REQUEST is its id or the beginning of it.  You see their approval, verified by this machine.  To share something
    else, approve that; to share nothing, deny.  A denial by either of you ends the request.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        seen = RequestReview.fetch(link, keys, find_request(link, request_id))
    if seen.first is None:
        raise RequestError("No approval of this request waits for another owner.", remedy="Run: doorward owner review.")
    if not seen.can_co_approve:
        raise RequestError("You have approved it. It now waits for another owner.", remedy="Ask them to review it.")
    if not as_json:
        show(seen)
    say(warning(seen), err=True)
    if not sure:
        confirm(f"\nApprove the same as {seen.first.by}?", err=True)
    with DeviceLink(device) as link:
        disclosure = decisions.co_approve(link, keys, seen)
    if as_json:
        emit_json({"request": seen.request.id, "disclosure": disclosure, "first": seen.first.by})
        return
    say(f"Approved by both of you, disclosure {disclosure}.")
    _say_take_back(device, seen.name[:8])


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@click.option(
    "--opt-out",
    "scope",
    type=click.Choice([Scope.REQUESTER.value, Scope.KIND.value, Scope.INCIDENT.value]),
    help="Also opt out of this requester, this kind of requester, or this kind of incident.",
)
@yes_option
@json_option
def deny(request_id: str, folder: Path, device: Path, scope: str | None, sure: bool, as_json: bool) -> None:
    """Deny a footage request.

    REQUEST is its id or the beginning of it.  The denial stays on the device. The requester gets no answer, as if there
    were no footage.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        sync(link, keys)
        found = find_request(link, request_id)
        _require_undecided(link.ask(GetRequest(found)).state, found[:8])
        value, root = _value(link, keys, found, Scope(scope)) if scope else (None, None)
    if not sure:
        confirm(f"Deny request {found[:8]}?", err=True)
    with DeviceLink(device) as link:
        decisions.deny(link, keys, found)
        if scope:
            decisions.opt_out(link, keys, Scope(scope), value, root=root)
    if as_json:
        emit_json({"request": found, "state": "denied", "opted_out": value})
        return
    say("Denied.  Nothing was or will be sent.")
    if scope:
        say(f"You also opted out of {words.opted_out(Scope(scope), value, root)}.")


@click.command()
@click.argument("request_id", metavar="REQUEST")
@keys_option
@device_option
@click.option(
    "--yes", is_flag=True, expose_value=False, help="Accepted for consistency; this command asks no question."
)
@json_option
def revoke(request_id: str, folder: Path, device: Path, as_json: bool) -> None:
    """Revoke an approval. Parts that were already sent stay sent.

    REQUEST is the id of the request, of the disclosure or of a tip.  The device sends nothing more.
    """
    keys = load_keys(folder)
    with DeviceLink(device) as link:
        sync(link, keys)
        tips = {each.id: each.state for each in link.ask(ListTips()).tips}
        found = find_request(link, request_id, tips)
        disclosure: str | None = found
        now = tips.get(found)
        if now is None:
            answer = link.ask(GetRequest(found))
            disclosure, now = answer.disclosure, answer.state
        if disclosure is None:
            raise RequestError("This request was never approved.", remedy="Nothing was shared.")
        if now not in (RequestState.APPROVED.value, RequestState.SENDING.value) and now in _DECIDED:
            raise _decided(now, found[:8], tip=found in tips)
        state = decisions.revoke(link, keys, disclosure)
    if as_json:
        emit_json({"request": found, "disclosure": disclosure, "state": state})
        return
    say(f"It was the tip {found[:8]}." if found in tips else f"It was the request {found[:8]}.")
    if state == "revoked":
        say("Revoked in time.  Nothing was or will be sent.")
    else:
        said = in_words(words.plain(state))
        click.echo(f"{said[:1].upper()}{said[1:]}.  {in_words('Parts that were sent stay sent. Nothing more leaves.')}")


_DECIDED: Final = {
    RequestState.APPROVED.value: ("It is approved already.", "To revoke it: doorward owner revoke {}"),
    RequestState.SENDING.value: (
        "It is approved and on its way.",
        "To stop the rest: doorward owner revoke {}",
    ),
    RequestState.SENT.value: (
        "It has been sent and cannot be called back.", "To see the recipient: doorward owner review {}"
    ),
    RequestState.DENIED.value: ("You have denied it.", _NOTHING),
    RequestState.OPTED_OUT.value: ("An opt-out of yours has ended it.", _NOTHING),
    RequestState.EXPIRED.value: ("It has expired.", "To see its history: doorward owner review {}"),
    RequestState.WITHDRAWN.value: ("The requester has withdrawn it.", "To see its history: doorward owner review {}"),
    RequestState.REVOKED.value: ("It was revoked before anything was sent.", _NOTHING),
    RequestState.STOPPED.value: ("It was stopped. Parts that were sent stay sent.", "Nothing more leaves."),
    RequestState.NO_MATCH.value: ("None of your footage matches it.", _NOTHING),
}  # fmt: skip


def _require_undecided(state: object, short: str) -> None:
    """Stops before any question if the request is already decided."""
    if state in _DECIDED:
        raise _decided(str(state), short)


def _decided(state: str, short: str, *, tip: bool = False) -> RequestError:
    said, remedy = _DECIDED[state]
    return RequestError(said, remedy="To see the recipient: doorward owner tip list" if tip else remedy.format(short))


def _show_gaps(told: Sequence[FootageAbsence]) -> None:
    say("They also learn about the requested window:", err=True)
    for gap in told:
        span = " – ".join(f"{utc_date(at):%H:%M:%S}" for at in (gap.from_ms, gap.to_ms))
        click.echo(f"    {span} UTC  {in_words(gap.reason.value)}", err=True)


def _say_take_back(device: Path, request: str) -> None:
    """Prints how long the approval can be revoked, by the device's answer. It is usually a short time."""
    with DeviceLink(device) as link:
        waits_s = link.ask(GetRequest(find_request(link, request))).waits_s
    how = f"doorward owner revoke {request}"
    if waits_s:
        say(f"It leaves in {words.duration(waits_s * 1000)} at the earliest; until then you can revoke it:  {how}")
    else:
        say(f"Until it is sent you can revoke it:  {how}")


def _value(link: DeviceLink, keys: OwnerKeys, request: str, scope: Scope) -> tuple[str, str | None]:
    """Returns the request's value for the scope, for example its incident, and the root of its requester."""
    payload, _ = request_payload(link.ask(GetRequest(request)), request, keys.identity)
    asked = strictjson.decode(payload, FootageRequest)
    if scope is Scope.REQUESTER:
        return asked.requester, asked.trust_root
    return (asked.kind.value if scope is Scope.KIND else asked.incident.value), None


def _contact(name: str | None, street: str | None, email: str | None, note: str | None) -> ContactCard | None:
    if not any((name, street, email, note)):
        return None
    try:
        return ContactCard(v=1, name=name, street=street, email=email, note=note)
    except FormatError as error:
        raise ConfigurationError(error.message, remedy=error.remedy) from error

"""`doorward requester request`, `withdraw`, `deleted` and `bulletin`: the messages published to doors."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.cli.frame import Number, emit_json, json_option
from agent.cli.times import parse_seconds
from agent.cli.words import counted, local_window, window
from agent.clients.cli.requester.options import (
    broker_options,
    connected,
    folder_option,
    now_s,
    promise_options,
    timeout_option,
)
from agent.clients.requester import messages
from agent.clients.requester.deletion import delete_answers
from agent.clients.requester.identity import Requester, RequesterProfile
from agent.clients.requester.messages import SignedMessage
from agent.clients.requester.publisher import LockHolder, connection_lock, is_published, publish
from agent.clients.requester.request_builder import (
    RequestDraft,
    excluded_share,
    parse_around,
    parse_circle,
    parse_onward,
    read_polygon,
)
from agent.clients.requester.roots import KnownRoots
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import ConfigurationError, FormatError, NetworkError, RequestError
from agent.wire.area import Area
from agent.wire.fields import Incident
from agent.wire.messages import Contact, Onward

__all__ = ["bulletin", "deleted", "request", "withdraw"]

T = TypeVar("T")
_DAY_S: Final = 86_400
_WAIT_S: Final = 0.2
_WORTH_A_WARNING: Final = 0.1
"""Warn if this share of an area asks no door. The corners of a square of 300 m lose 4 %."""


@click.command()
@folder_option
@click.option("--from", "from_", required=True, metavar="TIME", help="2027-01-15T18:00 (UTC) or …T19:00+01:00.")
@click.option("--to", required=True, metavar="TIME", help="15 minutes to 12 hours later.")
@click.option("--circle", metavar="LAT,LON,RADIUS", help="Area: 52.3702,4.8952,300 (metres).")
@click.option("--polygon", type=click.Path(path_type=Path, dir_okay=False), help="Area: GeoJSON, or 'lat,lon' lines.")
@click.option("--case", metavar="NUMBER", required=True, help="Your file number.")
@click.option("--incident", required=True, type=click.Choice([incident.value for incident in Incident]),
              help="What happened.")  # fmt: skip
@click.option("--description", metavar="WORDS", required=True, help="For the owner, at most 500 characters, no links.")
@click.option("--contact-name", metavar="NAME", required=True, help="Name of the person to ask.")
@click.option("--contact-email", metavar="EMAIL", help="E-mail of that person. Give this, --contact-phone, or both.")
@click.option("--contact-phone", metavar="PHONE", help="Digits, spaces, a + before them: '+31 20 1234567'.")
@click.option(
    "--days",
    metavar="DAYS",
    type=Number(1, 30),
    default=14,
    show_default=True,
    help="How many days owners may answer.",
)
@promise_options
@click.option("--trust-root", metavar="KEY_ID", help="The root to ask under (default: the folder's).")
@click.option("--reply", metavar="RECIPIENT", help="Ask for a neighbour: only their key (age1pq1…) opens the answers.")
@click.option("--sign-only", is_flag=True, help="Sign only. 'receive' publishes it later.")
@click.option("--unchecked", is_flag=True, hidden=True, help="For tests: leave the limits to the devices.")
@timeout_option
@broker_options
@json_option
def request(
    folder: Path, from_: str, to: str, circle: str | None, polygon: Path | None, case: str, incident: str,
    description: str, contact_name: str, contact_email: str | None, contact_phone: str | None, days: int,
    retention_days: int | None, onward: str | None, onward_basis: str | None, language: str | None,
    trust_root: str | None, reply: str | None, sign_only: bool, unchecked: bool, timeout: float, as_json: bool,
    **broker: Any,
) -> None:  # fmt: skip
    """Ask each door in an area for footage of a span of time.

    Doors keep their place secret: you hear only from owners who have footage and choose to share it.  The request is
    checked against the limits of devices before it is signed. For example, --circle 52.3702,4.8952,300 asks the doors
    within 300 m.

    Owners read before they share how long you keep it and to whom you may have to pass it on.  'keygen' takes the same
    options and stores them as defaults in requester.json.

    With --reply you relay: 'receive' stores the answers sealed, and only the neighbour can open and verify them.
    """
    who = Requester.open(folder)
    at_s = now_s()
    question = RequestDraft(
        area=_area(circle, polygon),
        from_s=parse_seconds(from_, "--from"),
        to_s=parse_seconds(to, "--to"),
        not_after_s=at_s + days * _DAY_S,
        case=case,
        incident=Incident(incident),
        description=description,
        contact=_contact(contact_name, contact_email, contact_phone),
        retention_days=_stated(retention_days, who.profile.retention_days, "how long you keep it", "--retention-days"),
        onward=_onward(who.profile, onward, onward_basis),
        language=_stated(language, who.profile.language, "the language of your words", "--language"),
    )
    _warn_of_narrow_parts(question.area)
    if not KnownRoots(who).ids():
        click.echo(
            "This folder has no bundle of a root, so your regions cannot be checked.  "
            "Import one: doorward requester root KEY BUNDLE",
            err=True,
        )
    with contextlib.nullcontext(_keep) if sign_only else _publisher(who, timeout, broker) as publish_it:
        signed = messages.make_request(
            who,
            question,
            now_s=at_s,
            trust_root=trust_root,
            checked=not unchecked,
            reply=None if reply is None else _recipient(reply),
        )
        publish_it(signed)
    _say_published(signed, published=not sign_only, what="request", as_json=as_json)
    if not as_json:
        from_ms, to_ms = question.from_s * 1000, question.to_s * 1000
        local = local_window(from_ms, to_ms)
        click.echo(f"It asks about {window(from_ms, to_ms)}" + (f" ({local})." if local else "."))


def _recipient(written: str) -> str:
    """Returns the recipient of another person. Raises `ConfigurationError` if no answer could be sealed to it."""
    try:
        recipient = parse_recipient(written.strip())
    except FormatError as error:
        raise ConfigurationError(f"--reply: {error.message}", remedy="The neighbour's program shows it.") from error
    if not written.strip().startswith("age1pq1"):
        raise ConfigurationError("--reply: it is no hybrid recipient.", remedy="Take one that begins with age1pq1.")
    return str(recipient)


@click.command()
@folder_option
@click.argument("request_id", metavar="REQUEST")
@click.option("--reason", metavar="WORDS", help="For the owners, at most 200 characters.")
@click.option("--language", metavar="TAG", help="Language of the reason (default: the request's).")
@timeout_option
@broker_options
@json_option
def withdraw(
    folder: Path, request_id: str, reason: str | None, language: str | None, timeout: float, as_json: bool,
    **broker: Any,
) -> None:  # fmt: skip
    """Take REQUEST back.  From now on answers that are still on their way are refused."""
    who = Requester.open(folder)
    request_id = _the_request(who, request_id)
    with _publisher(who, timeout, broker) as publish_it:
        signed = messages.make_withdrawal(who, request_id, reason, language)
        publish_it(signed)
    _say_published(signed, published=True, what="withdrawal", as_json=as_json)


@click.command()
@folder_option
@click.argument("request_id", metavar="REQUEST")
@click.option("--remove", is_flag=True, help="First delete the answers in this folder, sealed and opened.")
@click.option("--yes", "sure", is_flag=True, help="Skip the confirmation.")
@timeout_option
@broker_options
@json_option
def deleted(
    folder: Path, request_id: str, remove: bool, sure: bool, timeout: float, as_json: bool, **broker: Any
) -> None:
    """State, signed, that everything received for REQUEST is deleted.

    Owners see the statement beside your receipt.  Send it for each request, answered or unanswered, so that it hides if
    a door answered.  --remove deletes the answers in this folder; delete copies elsewhere first.  The request's reply
    key is always deleted: then all copies of an answer stay sealed, even one that is still on its way.
    """
    who = Requester.open(folder)
    request_id = _the_request(who, request_id)
    held = who.answers.to_request(who.sent_request(request_id).request.id)
    if held and not remove:
        raise ConfigurationError(
            f"{folder} still holds {counted(len(held), 'disclosure')} of this request.",
            remedy="Use --remove to delete them here. Delete copies elsewhere yourself.",
        )
    if not sure:
        click.confirm("Is every copy deleted, also elsewhere?", abort=True, err=True)
    with _publisher(who, timeout, broker) as publish_it:
        signed = delete_answers(who, request_id, now_s())
        publish_it(signed)
    _say_published(signed, published=True, what="deletion of what was received for", as_json=as_json)


@click.command()
@folder_option
@click.option("--title", metavar="WORDS", required=True, help="At most 100 characters, no links.")
@click.option("--description", metavar="WORDS", required=True, help="At most 500 characters, no links.")
@click.option("--circle", metavar="LAT,LON,RADIUS", help="Area of the doors that it concerns.")
@click.option("--polygon", type=click.Path(path_type=Path, dir_okay=False), help="Area: GeoJSON, or 'lat,lon' lines.")
@click.option(
    "--around",
    metavar="LAT,LON,KM",
    help="Instead of an area: all doors within this many km (up to 100), and some beyond.",
)
@click.option(
    "--days",
    metavar="DAYS",
    type=Number(1, 30),
    default=7,
    show_default=True,
    help="How many days it stays published.",
)
@click.option("--language", metavar="TAG", help="Language of your words (default: the folder's).")
@click.option("--trust-root", metavar="KEY_ID", help="The root to publish under (default: the folder's).")
@timeout_option
@broker_options
@json_option
def bulletin(
    folder: Path, title: str, description: str, circle: str | None, polygon: Path | None, around: str | None, days: int,
    language: str | None, trust_root: str | None, timeout: float, as_json: bool, **broker: Any,
) -> None:  # fmt: skip
    """Post a safety message for the doors of an area.

    Owners find it in a list when they look.  It triggers no notification, and doors send no answer.
    """
    who = Requester.open(folder)
    area = None if around is not None else _area(circle, polygon)
    cells = parse_around(around) if around is not None else ()
    until_s = now_s() + days * _DAY_S
    tag = _stated(language, who.profile.language, "the language of your words", "--language")
    with _publisher(who, timeout, broker) as publish_it:
        signed = messages.make_bulletin(
            who, title, description, language=tag, not_after_s=until_s, area=area, cells=cells, trust_root=trust_root
        )
        publish_it(signed)
    _say_published(signed, published=True, what="bulletin", as_json=as_json)


def _the_request(who: Requester, beginning: str) -> str:
    """Returns the id of our request that starts with `beginning`. Raises `ConfigurationError`, which lists the
    candidates."""
    found = who.request_ids(beginning) if beginning else []
    if len(found) == 1:
        return found[0]
    there = found or who.request_ids()
    if not there:
        raise ConfigurationError(
            f"{who.folder} has sent no request yet.", remedy="Send one: doorward requester request"
        )
    shown = "".join(f"\n    {name}" for name in there)
    raise ConfigurationError(
        f"{len(found) or 'No'} requests in {who.folder} start with '{beginning}'.",
        remedy=f"Name one by the beginning of its id:{shown}",
    )


def _area(circle: str | None, polygon: Path | None) -> Area:
    if (circle is None) == (polygon is None):
        raise ConfigurationError("An area must be a circle or a polygon.", remedy="Give one of --circle and --polygon.")
    return parse_circle(circle) if circle is not None else read_polygon(polygon or Path())


def _warn_of_narrow_parts(area: Area) -> None:
    """Warns before signing if a part of the outline is too narrow to ask any door."""
    lost = excluded_share(area)
    if lost >= _WORTH_A_WARNING:
        click.echo(
            f"{lost:.0%} of this area is narrower than 120 m and asks no door.  Draw it wider to ask the doors there.",
            err=True,
        )


def _contact(name: str, email: str | None, phone: str | None) -> Contact:
    try:
        return Contact(name=name, email=email, phone=phone)
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy or "Give --contact-email or --contact-phone.") from error


def _stated(given: T | None, default: T | None, what: str, option: str) -> T:
    """Returns the option's value, or the profile's default. Raises `ConfigurationError` if there is neither."""
    value = default if given is None else given
    if value is None:
        raise ConfigurationError(
            f"A request must state {what}: owners read it before they share.",
            remedy=f"Give {option} here, or once to 'doorward requester keygen'.",
        )
    return value


def _onward(profile: RequesterProfile, kinds: str | None, basis: str | None) -> Onward:
    if kinds is not None:
        return parse_onward(kinds, basis)
    if basis is not None:
        raise ConfigurationError("--onward-basis needs --onward.", remedy="Say to whom you may have to pass it on.")
    return _stated(None, profile.onward, "to whom you may have to pass it on", "--onward")


def _keep(_signed: SignedMessage) -> None:
    """Does nothing: a later 'receive' publishes the message."""


@contextlib.contextmanager
def _publisher(who: Requester, timeout_s: float, broker: dict[str, Any]) -> Iterator[Callable[[SignedMessage], None]]:
    """Yields a function that publishes a message over our own connection, or leaves it to a running 'receive'.

    The broker options are checked here, before signing, because a signed message uses up a number and a slot.
    """
    with contextlib.ExitStack() as stack:
        if _took_lock(stack, who, timeout_s):
            bus = stack.enter_context(connected(who, broker))
            how = functools.partial(publish, bus=bus, now_s=now_s(), timeout_s=timeout_s)
        else:
            how = functools.partial(_await_publication, who, broker=broker, timeout_s=timeout_s)
        yield functools.partial(_publish, how)


def _took_lock(stack: contextlib.ExitStack, who: Requester, wait_s: float = 0.0) -> bool:
    """Returns True if it took the connection lock of this requester. `stack` releases the lock when it closes."""
    try:
        stack.enter_context(connection_lock(who, LockHolder.ERRAND, wait_s=wait_s))
    except ConfigurationError:
        return False
    return True


def _publish(how: Callable[[SignedMessage], None], signed: SignedMessage) -> None:
    try:
        how(signed)
    except NetworkError as error:
        raise NetworkError(
            f"{error.message} {signed.id} is signed and kept, but not published yet.",
            remedy=f"{error.remedy} 'doorward requester receive' publishes it. Do not sign it again.".lstrip(),
        ) from error


def _await_publication(who: Requester, signed: SignedMessage, broker: dict[str, Any], timeout_s: float) -> None:
    """Waits for the running 'receive' to publish the message. If 'receive' stops first, publishes it here."""
    deadline = time.monotonic() + timeout_s
    while not is_published(who, signed.id):
        with contextlib.ExitStack() as stack:
            if broker["broker"] and _took_lock(stack, who):
                bus = stack.enter_context(connected(who, broker))
                return publish(signed, bus, now_s=now_s(), timeout_s=timeout_s)
        if time.monotonic() >= deadline:
            raise NetworkError(
                "The running 'receive' has not published the message yet.",
                remedy="It publishes it once it is connected. Read its output.",
            )
        time.sleep(_WAIT_S)
    return None


def _say_published(signed: SignedMessage, *, published: bool, what: str, as_json: bool) -> None:
    if as_json:
        emit_json({"request": signed.id, "topics": signed.topics, "published": published})
        return
    said = "is published." if published else "is signed.  Publish it:  doorward requester receive"
    click.echo(f"The {what} {signed.id} {said}")

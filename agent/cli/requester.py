"""`doorward requester`: ask an area for footage, receive what owners share, verify it, open it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.adapters.clock_system import SystemClock
from agent.adapters.mqtt import BusSettings, MqttBus
from agent.cli.frame import emit_json, json_option
from agent.errors import ConfigurationError, FormatError, NetworkError, RequestError
from agent.requester import files
from agent.requester.answers import answers
from agent.requester.asking import Question, parse_circle, parse_time, read_polygon
from agent.requester.bundles import make_bundle, read_bundle
from agent.requester.identity import Requester, SignedRequest
from agent.requester.keys import load_key, make_key
from agent.requester.opening import open_disclosure
from agent.requester.publishing import connection_lock, is_published, publish
from agent.requester.receiving import News, NewsKind, Receiver
from agent.requester.verifying import CheckOutcome, Verification, verify_disclosure
from agent.wire.area import Area
from agent.wire.fields import Incident, Kind
from agent.wire.identities import public_key_of
from agent.wire.messages import Contact
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES

__all__ = ["requester"]

_INBOUND_PACKET_BYTES: Final = 160 << 10
"""A chunk of 128 KiB, its topic and its properties."""
_DAY_S: Final = 86_400
_WAIT_S: Final = 0.2

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def requester() -> None:
    """Ask for footage, receive, verify and open it.

    \b
    The way of a request:
      keygen     once: who you are, and the key you sign with
      bundle     your root (an association, an authority) lists and vouches for you
      request    ask an area; whoever has footage and agrees, answers
      receive    take what comes, until you stop it
      open       verify everything, then write MP4s and a report
    """


# --- Options


def _folder(command: _Command) -> _Command:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="DOORWARD_REQUESTER",
        default=Path("requester"),
        show_default=True,
        show_envvar=True,
        help="The requester's folder.",
    )(command)


def _broker(command: _Command) -> _Command:
    """Adds where the broker is and with which certificate to connect: one argument each."""
    file = click.Path(path_type=Path, dir_okay=False)
    options = (
        click.option(
            "--broker", envvar="DOORWARD_BROKER", metavar="HOST:PORT", help="The broker's requester listener."
        ),
        click.option("--authority", type=file, help="Who signs the broker's certificate.  [FOLDER/tls/authority.pem]"),
        click.option("--certificate", type=file, help="Our certificate.  [FOLDER/tls/certificate.pem]"),
        click.option("--tls-key", type=file, help="Its private key.  [FOLDER/tls/key.pem]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _settings(
    who: Requester, broker: str | None, authority: Path | None, certificate: Path | None, tls_key: Path | None
) -> BusSettings:
    host, _, port = (broker or "").rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError("No broker is named.", remedy="Give --broker HOST:PORT, or set DOORWARD_BROKER.")
    tls = who.folder / "tls"
    return BusSettings(
        host=host.strip("[]"),
        port=int(port),
        name=who.id,
        authority=authority or tls / "authority.pem",
        certificate=certificate or tls / "certificate.pem",
        key=tls_key or tls / "key.pem",
        inbound_packet_bytes=_INBOUND_PACKET_BYTES,
    )


@contextlib.contextmanager
def _connected(settings: BusSettings) -> Iterator[MqttBus]:
    bus = MqttBus(settings)
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()


def _now_s() -> int:
    return int(time.time())


# --- Who we are


@requester.command()
@_folder
@click.option("--id", "requester_id", help="Name in topics and files: a-z, 0-9 and -, at most 32 characters.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="What you are.")
@click.option("--audience", metavar="KEY_ID", help="Key id of the root that will vouch for you.")
@click.option("--root", is_flag=True, help="Make a root's key instead: one that vouches for requesters.")
@click.option(
    "--key", type=click.Path(path_type=Path), default=Path("root.key"), show_default=True, help="Where --root puts it."
)
@json_option
def keygen(
    folder: Path,
    requester_id: str | None,
    kind: str | None,
    audience: str | None,
    root: bool,
    key: Path,
    as_json: bool,
) -> None:
    """Make a requester's folder and signing key, or with --root the key of a root.

    The private key never leaves the folder.  What is printed is for the root's list (see 'bundle').
    """
    if root:
        public = make_key(key)
        if as_json:
            emit_json({"key_file": key, "key": public.text, "key_id": public.id})
            return
        click.echo(f"The root's private key is in {key}: keep it off the network.\n")
        click.echo(f"  public key   {public.text}     owners who trust you add this")
        click.echo(f"  key id       {public.id}     your requesters name this as --audience")
        return
    if requester_id is None or kind is None:
        raise ConfigurationError("A requester has an id and a kind.", remedy="Give --id and --kind, or --root.")
    made = Requester.create(folder, requester_id, Kind(kind), audience)
    if as_json:
        emit_json({"folder": folder, "id": made.id, "kind": kind, "key": made.key.text, "key_id": made.key.id})
        return
    click.echo(f"{folder} is the folder of requester '{made.id}'.  Send your root these lines:\n")
    click.echo(f'[[requesters]]\nid = "{made.id}"\nname = "…"\nkind = "{kind}"')
    click.echo("regions = [{ south = …, west = …, north = …, east = … }]\n")
    click.echo(f'[[requesters.keys]]\nkey = "{made.key.text}"\nfrom = …\nuntil = …')


@requester.command()
@click.argument("source", metavar="LIST", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--root-key", type=click.Path(path_type=Path), default=Path("root.key"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("bundle.dsse"), show_default=True)
@json_option
def bundle(source: Path, root_key: Path, out: Path, as_json: bool) -> None:
    """Sign the LIST of requesters you vouch for.  Its version must be higher than that of the bundle at --out.

    \b
    version = 3
    [[requesters]]
    id = "rijnstad-police"
    name = "Rijnstad Police"              # what owners read
    kind = "police"
    regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]
    limits = { window_max_s = 14400 }     # optional: tighter than every device's own
    [[requesters.keys]]
    key = "ed25519:…"                     # from 'doorward requester keygen'
    from = 2026-01-01
    until = 2026-12-31                    # to the end of that day, UTC
    revoked = false                       # optional
    """
    key = load_key(root_key)
    previous = files.read(out, BUNDLE_ENVELOPE_LIMIT_BYTES) if out.exists() else None
    data = make_bundle(source, key, issued_s=_now_s(), previous=previous)
    files.write(out, data)
    made, root = read_bundle(data, key), public_key_of(key)
    if as_json:
        emit_json({"file": out, "root": root.id, "version": made.version, "requesters": len(made.requesters)})
        return
    click.echo(f"{out}: version {made.version}, signed by root {root.id}, vouches for {len(made.requesters)}.")
    for each in made.requesters:
        click.echo(f"  {each.id}: {each.name} ({each.kind.value})")


# --- Asking


@requester.command()
@_folder
@click.option("--from", "from_", required=True, metavar="TIME", help="ISO 8601; local time unless it has an offset.")
@click.option("--to", required=True, metavar="TIME", help="15 minutes to 12 hours later.")
@click.option("--circle", metavar="LAT,LON,RADIUS", help="Area: 52.3702,4.8952,300 (metres).")
@click.option("--polygon", type=click.Path(path_type=Path, dir_okay=False), help="Area: GeoJSON, or 'lat,lon' lines.")
@click.option("--case", required=True, help="Your file number.")
@click.option("--incident", required=True, type=click.Choice([incident.value for incident in Incident]))
@click.option("--description", required=True, help="For the owner, at most 500 characters, no links.")
@click.option("--contact-name", required=True, help="Whom the owner can ask.")
@click.option("--contact-email")
@click.option("--contact-phone")
@click.option("--days", type=click.IntRange(1, 30), default=14, show_default=True, help="How long owners may answer.")
@click.option("--audience", metavar="KEY_ID", help="The root to ask under, if not the folder's.")
@click.option("--sign-only", is_flag=True, help="Do not publish: 'receive' will.")
@click.option("--unchecked", is_flag=True, hidden=True, help="For tests: leave the limits to the devices.")
@click.option("--timeout", type=click.FloatRange(1, 600), default=30.0, show_default=True, help="For the broker, in s.")
@_broker
@json_option
def request(
    folder: Path,
    from_: str,
    to: str,
    circle: str | None,
    polygon: Path | None,
    case: str,
    incident: str,
    description: str,
    contact_name: str,
    contact_email: str | None,
    contact_phone: str | None,
    days: int,
    audience: str | None,
    sign_only: bool,
    unchecked: bool,
    timeout: float,
    as_json: bool,
    **broker: Any,
) -> None:
    """Ask every door in an area for footage of a span of time.

    Nobody is told where anybody lives: you hear only from owners who have footage and choose to share it.  The request
    is checked against the limits that devices enforce before it is signed.
    """
    who = Requester.open(folder)
    now_s = _now_s()
    question = Question(
        area=_area(circle, polygon),
        from_s=parse_time(from_),
        to_s=parse_time(to),
        not_after_s=now_s + days * _DAY_S,
        case=case,
        incident=Incident(incident),
        description=description,
        contact=_contact(contact_name, contact_email, contact_phone),
    )
    signed = who.make_request(question, now_s=now_s, audience=audience, checked=not unchecked)
    if not sign_only:
        _publish(who, signed, timeout, broker)
    _say_published(signed, published=not sign_only, what="request", as_json=as_json)


@requester.command()
@_folder
@click.argument("request_id", metavar="REQUEST")
@click.option("--reason", help="For the owners, at most 200 characters.")
@click.option("--timeout", type=click.FloatRange(1, 600), default=30.0, show_default=True, help="For the broker, in s.")
@_broker
@json_option
def withdraw(folder: Path, request_id: str, reason: str | None, timeout: float, as_json: bool, **broker: Any) -> None:
    """Take REQUEST back.  Answers that are on their way are refused from now on."""
    who = Requester.open(folder)
    signed = who.withdraw(request_id, reason)
    _publish(who, signed, timeout, broker)
    _say_published(signed, published=True, what="withdrawal", as_json=as_json)


def _area(circle: str | None, polygon: Path | None) -> Area:
    if (circle is None) == (polygon is None):
        raise ConfigurationError("An area is a circle or a polygon.", remedy="Give one of --circle and --polygon.")
    return parse_circle(circle) if circle is not None else read_polygon(polygon or Path())


def _contact(name: str, email: str | None, phone: str | None) -> Contact:
    try:
        return Contact(name=name, email=email, phone=phone)
    except FormatError as error:
        raise RequestError(error.message, remedy=error.remedy or "Give --contact-email or --contact-phone.") from error


def _publish(who: Requester, signed: SignedRequest, timeout_s: float, broker: dict[str, Any]) -> None:
    """Over a connection of our own, or by the 'receive' that runs already."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(connection_lock(who))
        except ConfigurationError:
            _await_publication(who, signed, timeout_s)
            return
        bus = stack.enter_context(_connected(_settings(who, **broker)))
        publish(who, signed, bus, now_s=_now_s(), timeout_s=timeout_s)


def _await_publication(who: Requester, signed: SignedRequest, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_published(who, signed.id):
        if time.monotonic() >= deadline:
            raise NetworkError(
                "The running 'receive' has not published it yet.",
                remedy="It will, as soon as it is connected: look at what it says.",
            )
        time.sleep(_WAIT_S)


def _say_published(signed: SignedRequest, *, published: bool, what: str, as_json: bool) -> None:
    if as_json:
        emit_json({"request": signed.id, "topics": signed.topics, "published": published})
        return
    click.echo(f"The {what} {signed.id} is {'published' if published else 'signed'}.")


# --- Receiving


@requester.command()
@_folder
@click.option("--count", type=click.IntRange(1), help="Stop after so many complete disclosures.")
@click.option("--retention-days", type=click.IntRange(0, 36_525), help="State in receipts how long you keep footage.")
@_broker
@json_option
def receive(folder: Path, count: int | None, retention_days: int | None, as_json: bool, **broker: Any) -> None:
    """Receive what owners disclose, verify it and acknowledge it, until you stop it (Ctrl-C).

    Requests signed meanwhile are published on the way.  Stopping loses nothing.
    """
    who = Requester.open(folder)
    stop = threading.Event()
    received: list[News] = []

    def tell(news: News) -> None:
        if not as_json:
            _say_news(news)
        if news.kind is NewsKind.COMPLETE:
            received.append(news)

    def answered(disclosures: int) -> None:
        if count is not None and disclosures >= count:
            stop.set()

    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with _connected(_settings(who, **broker)) as bus:
            receiver = Receiver(who, bus, SystemClock(), tell=tell, answered=answered, retention_days=retention_days)
            with contextlib.suppress(KeyboardInterrupt):
                receiver.run(stop)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if as_json:
        emit_json({"complete": [{"disclosure": each.disclosure, "request": each.request} for each in received]})


def _say_news(news: News) -> None:
    share = f"{news.held_bytes / 1e6:.1f} of {news.expected_bytes / 1e6:.1f} MB"
    words = {
        NewsKind.CONNECTED: "Connected; waiting for answers.",
        NewsKind.DISCONNECTED: f"Not connected: {news.detail}",
        NewsKind.BEGUN: f"Disclosure {news.disclosure} answers request {news.request}: {share}.",
        NewsKind.PROGRESS: f"  {news.disclosure}: {share}",
        NewsKind.COMPLETE: f"Disclosure {news.disclosure} is complete and verified.  Open it: "
        f"doorward requester open {news.disclosure}",
        NewsKind.REFUSED: f"Disclosure {news.disclosure} was refused: {news.detail}",
        NewsKind.NO_ROOM: f"No room for disclosure {news.disclosure}: {news.detail}",
        NewsKind.NOT_PUBLISHED: f"Request {news.request} was not published: {news.detail}",
        NewsKind.DAMAGED: f"Request {news.request} cannot be used: {news.detail}",
        NewsKind.STOPPED: f"The device sends no more of disclosure {news.disclosure}.",
    }
    if news.kind in words:
        click.echo(words[news.kind])


# --- Looking


@requester.command()
@_folder
@click.argument("disclosure", required=False)
@json_option
def verify(folder: Path, disclosure: str | None, as_json: bool) -> int:
    """Check DISCLOSURE (or the only one there is) from the folder alone.  Exit status 1 when a check fails.

    No network is used.  The beginning of the id is enough.
    """
    verification = verify_disclosure(folder, _disclosure(folder, disclosure))
    if as_json:
        emit_json(_verdict(verification))
    else:
        _say_checks(verification)
    return 0 if verification.ok else 1


@requester.command("open")
@_folder
@click.argument("disclosure", required=False)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="[FOLDER/opened/DISCLOSURE]")
@json_option
def open_(folder: Path, disclosure: str | None, out: Path | None, as_json: bool) -> int:
    """Verify DISCLOSURE (or the only one there is), then write its MP4s, report.html and bundle/.

    When a check fails the report says which, no video is written, and the exit status is 1.
    """
    opened = open_disclosure(folder, _disclosure(folder, disclosure), now_s=_now_s(), out=out)
    verification = opened.verification
    if as_json:
        emit_json(
            _verdict(verification)
            | {"folder": opened.folder, "report": opened.report, "bundle": opened.bundle, "merged": opened.merged}
            | {"clips": [each.mp4 for each in opened.clips if each.mp4], "segments": list(opened.mp4s)}
        )
        return 0 if verification.ok else 1
    _say_checks(verification)
    if verification.ok:
        for each in opened.clips:
            click.echo(f"  clip {each.clip.number}: {each.seconds:.1f} s  {each.mp4 or each.picture}")
        if opened.merged:
            click.echo(f"  everything: {opened.merged}")
    click.echo(f"  report: {opened.report}")
    return 0 if verification.ok else 1


def _disclosure(folder: Path, beginning: str | None) -> str:
    found = [each.disclosure for each in answers(folder) if each.disclosure.startswith(beginning or "")]
    if len(found) == 1:
        return found[0]
    if beginning is not None and not found:
        raise ConfigurationError(
            f"There is no disclosure {beginning} in {folder}.", remedy="Receive it first: 'doorward requester receive'."
        )
    listed = "".join(f"\n    {each}" for each in found)
    raise ConfigurationError(
        f"There are {len(found)} disclosures in {folder}.", remedy=f"Name one by the beginning of its id:{listed}"
    )


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
    if verification.ok:
        click.secho("Every check holds.", fg="green", bold=True)
    else:
        click.secho("This disclosure does not verify.  Do not rely on it.", fg="red", bold=True)


def _verdict(verification: Verification) -> dict[str, Any]:
    failed = verification.failed
    return {
        "disclosure": verification.disclosure,
        "ok": verification.ok,
        "failed": failed.kind.name.lower() if failed else None,
        "said": failed.said if failed else None,
        "request": verification.request.id if verification.request else None,
        "checks": {check.kind.name.lower(): check.outcome.value for check in verification.checks},
    }

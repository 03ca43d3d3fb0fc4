"""`doorward broker`: the certificates and the configuration of your own MQTT broker.

Run it on the broker's machine, with or without a doorbell there. It writes one folder
(`agent/clients/broker/broker_pki.py`). For managed and clustered brokers see config/mosquitto/README.md.
"""

from __future__ import annotations

import datetime
import string
from pathlib import Path

import click

from agent.cli.frame import Group, Number, emit_json, json_option, without_rich

__all__ = ["broker"]

_DIRECTORY = Path("/etc/mosquitto/doorward")
_TEMPLATE = Path(__file__).parents[1] / "broker" / "mosquitto" / "doorward.conf.template"

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=_DIRECTORY,
    show_default=True,
    help="The broker's folder.",
)
_FILE = click.Path(path_type=Path, dir_okay=False)
_LOOK_S = 2.0
_GRACE_S = 120.0
_days = click.option(
    "--days", metavar="DAYS", type=Number(1, 3650), default=397, show_default=True, help="Days until it expires."
)


@click.group(cls=Group)
def broker() -> None:
    """Make the certificates and the configuration of your own broker.

    Keep the folder's authorities/*.key secret. A person who has them can pose as any client.
    """


@broker.command()
@_directory
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    required=True,
    help="A name or address that clients use; may be repeated.",
)
@click.option(
    "--user", metavar="USER", default="mosquitto", show_default=True, help="The system's user that runs mosquitto."
)
@click.option("--address", metavar="ADDRESS", default="0.0.0.0", show_default=True, help="Listen here.")  # noqa: S104 — for clients
@click.option(
    "--device-port", metavar="PORT", type=Number(1, 65_535), default=8883, show_default=True, help="For doorbells."
)
@click.option(
    "--requester-port", metavar="PORT", type=Number(1, 65_535), default=8884, show_default=True, help="For requesters."
)
def init(
    directory: Path, hosts: tuple[str, ...], user: str, address: str, device_port: int, requester_port: int
) -> None:
    """Make the authorities, the broker's certificate and its mosquitto configuration."""
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.errors import ConfigurationError

    _refuse_odd_words(user=user, address=address, directory=str(directory))
    pki = BrokerPki.create(directory, _now(), hosts)
    pki.add_digest(_now())
    configuration = pki.directory / "mosquitto.conf"
    text = string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        user=user,
        directory=pki.directory,
        address=address,
        device_port=device_port,
        requester_port=requester_port,
    )
    try:
        configuration.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{configuration} cannot be written: {error.strerror}.") from error
    configuration.chmod(0o600)
    click.echo(f"The broker's folder is {pki.directory}.  Next:")
    click.echo(f"  sudo chown -R {user}: {pki.directory}       lets mosquitto read it.  Move the authorities'")
    click.echo("                                             keys away first if others use this machine")
    click.echo(f"  mosquitto -c {configuration}")
    click.echo(
        "  doorward broker digest --host HOST         beside it, so that doorbells read little when they connect"
    )
    click.echo("  doorward broker add-device ID              for every doorbell (doorward init prints its ID)")
    click.echo("  doorward broker add-tokens NAME…           … or for many at once, without their IDs")
    click.echo("  doorward broker add-requester NAME --csr FILE     for every requester and each of its workers")


@broker.command()
@_directory
@click.option("--host", metavar="HOST", required=True, help="A name or address of 'doorward broker init'.")
@click.option(
    "--port", metavar="PORT", type=Number(1, 65_535), default=8884, show_default=True, help="The port for requesters."
)
@click.option(
    "--metrics-port", metavar="PORT", type=Number(1, 65_535), help="Serve figures for Prometheus on 127.0.0.1."
)
@click.option("--authority", type=_FILE, help="The authority of the broker's certificate.  [that of --dir]")
@click.option("--password-file", type=_FILE, help="Sign in with this password or token, and without a certificate.")
@click.option("--user", metavar="NAME", help="The user name beside the password.  [0000000000000000.digest]")
def digest(
    directory: Path, host: str, port: int, metrics_port: int | None, authority: Path | None,
    password_file: Path | None, user: str | None,
) -> None:  # fmt: skip
    """Keep the digest of each cell until you stop it (Ctrl-C): the open requests and bulletins, newest first, in pages.

    Doorbells of a broker with a digest read at most 64 KiB of it when they connect, and a page every half minute later,
    whatever requesters leave at the broker.  Without it they read everything that their cell holds.

    At a managed service that takes no certificates give --authority and --password-file.  No --dir is needed then.
    """
    import contextlib
    import signal
    import time

    without_rich()
    from agent.clients.broker.broker_pki import DIGEST_CLIENT, BrokerPki
    from agent.clients.broker.digest_service import DigestService
    from agent.errors import ConfigurationError
    from agent.mqtt import WATCHFUL_KEEPALIVE_S, BusSettings, MqttBus
    from agent.platform.metrics_server import MetricsServer
    from agent.platform.stop_signals import StopSignals

    if user is not None and password_file is None:
        raise ConfigurationError(
            f"--user is {user!r}, and without --password-file the certificate signs in as {DIGEST_CLIENT!r}.",
            remedy="Give --password-file, or leave --user out.",
        )
    shown: tuple[Path | None, Path | None] = (None, None)
    pki = None if authority is not None and password_file is not None else BrokerPki(directory)
    if pki is not None:
        known = pki.client(DIGEST_CLIENT)
        authority = authority or known.authority
        shown = (None, None) if password_file is not None else (known.certificate, known.key)
    assert authority is not None  # noqa: S101 (given, or that of the folder)
    settings = BusSettings(
        host, port, DIGEST_CLIENT, authority, *shown, user=user or "", password_file=password_file, window_messages=64,
        inbound_queue=4096, inbound_bytes=64 << 20, inbound_beat_s=0.0,
        keepalive_s=WATCHFUL_KEEPALIVE_S,
    )  # fmt: skip
    service = DigestService(MqttBus(settings), time.monotonic, pki.certificate if pki is not None else None)
    metrics = MetricsServer(service.figures.page, path=None, port=metrics_port)
    metrics.start()
    try:
        with StopSignals(service.stop, [signal.SIGTERM]), contextlib.suppress(KeyboardInterrupt):
            service.run()
    finally:
        metrics.stop()


@broker.command()
@_directory
@_days
def renew(directory: Path, days: int) -> None:
    """Sign the broker's own certificate again, for the same key and the same hosts.

    'init' made it for 397 days. After its end every client is refused. The new one takes effect at the next reload, and
    all connections stay.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    made = BrokerPki(directory).renew_broker(_now(), days)
    click.echo(f"The broker's certificate is valid until {made.not_valid_after_utc:%Y-%m-%d}. Now tell the broker:")
    click.echo("  sudo systemctl reload mosquitto")


@broker.command("add-relay")
@_directory
@click.option("--address", metavar="ADDRESS", default="0.0.0.0", show_default=True, help="Listen here.")  # noqa: S104 — for clients
@click.option(
    "--link-port", metavar="PORT", type=Number(1, 65_535), default=8885, show_default=True, help="For doorbells."
)
@click.option(
    "--web-port", metavar="PORT", type=Number(1, 65_535), default=8886, show_default=True, help="For browsers."
)
@click.option(
    "--web-certificate", type=click.Path(path_type=Path), help="A certificate that browsers trust, with its chain."
)
@click.option("--web-key", type=click.Path(path_type=Path), help="Its private key.")
def add_relay_command(
    directory: Path, address: str, link_port: int, web_port: int, web_certificate: Path | None, web_key: Path | None
) -> None:
    """Let owners reach their doorbells through this broker.

    Adds a listener for doorbells and one for browsers to the broker's configuration.  See docs/remote.md.
    """
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.relay import RelayListeners, add_relay
    from agent.errors import ConfigurationError
    from agent.platform import files

    _refuse_odd_words(address=address, web_certificate=str(web_certificate), web_key=str(web_key))
    if (web_certificate is None) != (web_key is None):
        raise ConfigurationError(
            "A certificate and its key go together.", remedy="Give --web-certificate and --web-key."
        )
    pki = BrokerPki(directory)
    configuration = pki.directory / "mosquitto.conf"
    if not files.is_file(configuration):
        raise ConfigurationError(f"{configuration} is missing.", remedy="Make it with 'doorward broker init'.")
    text = configuration.read_text(encoding="utf-8")
    if "protocol websockets" in text:
        raise ConfigurationError(f"{configuration} already has a relay.", remedy="Change it in that file.")
    added = add_relay(pki, RelayListeners(address, link_port, web_port, web_certificate, web_key))
    files.write(configuration, f"{text}{added}".encode(), like=configuration)
    click.echo(f"{configuration} has a relay on the ports {link_port} (doorbells) and {web_port} (browsers).  Next:")
    click.echo("  sudo chown -R mosquitto: FOLDER            lets mosquitto read the new files")
    click.echo("  sudo systemctl restart mosquitto")
    click.echo("  doorward broker add-account ID             for every doorbell that its owners reach")
    if web_certificate is None:
        click.echo("Browsers accept only a certificate that they trust: give --web-certificate and --web-key, or add")
        click.echo(f"{pki.directory / 'authorities' / 'broker.pem'} to each phone.")


@broker.command("add-account")
@click.argument("device")
@_directory
@json_option
def add_account(device: str, directory: Path, as_json: bool) -> None:
    """Make the account with which browsers reach DEVICE, or a new password for it.

    DEVICE is the doorbell's key id (16 hex digits), its key (ed25519:…), or another name of its certificate.
    """
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.relay import set_account

    account = _key_id(device)
    password = set_account(BrokerPki(directory), account)
    if as_json:
        emit_json({"user": account, "password": password})
        return
    click.echo("For [remote] of the doorbell's configuration:")
    click.echo(f'  user = "{account}"')
    click.echo(f'  password = "{password}"')
    click.echo("The password is shown only now.  A password that was given before no longer works after this:")
    click.echo("  sudo systemctl reload mosquitto")


@broker.command("add-device")
@click.argument("device")
@click.option(
    "--csr",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The device's signing request: its key then stays on the device.",
)
@_directory
@_days
@json_option
def add_device(device: str, csr: Path | None, directory: Path, days: int, as_json: bool) -> None:
    """Sign a certificate for the doorbell DEVICE: its key id (16 hex digits), or its key (ed25519:…)."""
    from agent.clients.broker.broker_pki import BrokerPki

    request = csr.read_bytes() if csr else None
    files = BrokerPki(directory).add_device(_key_id(device), _now(), days, request=request)
    named = {"ca": files.authority, "certificate": files.certificate}
    _tell(named if csr else {**named, "key": files.key}, "the doorbell, into [broker] of its configuration", as_json)


@broker.command("add-tokens")
@click.argument("names", nargs=-1, metavar="NAME…")
@click.option(
    "--fleet", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="One for each doorbell of this file."
)
@click.option("--doorbells", type=Number(1, 1000), default=1, show_default=True, help="How many may use each token.")
@click.option(
    "--days", metavar="DAYS", type=Number(1, 90), default=14, show_default=True, help="Days until they expire."
)
@click.option("--host", metavar="HOST", required=True, help="The broker's name or address, as in its certificate.")
@click.option("--port", metavar="PORT", type=Number(1, 65_535), default=8887, show_default=True,
              help="The port of 'doorward broker est'.")  # fmt: skip
@click.option("--broker-port", metavar="PORT", type=Number(1, 65_535), default=8883, show_default=True,
              help="The broker's port for doorbells.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("tickets"), show_default=True,
              help="Write the tickets here.")  # fmt: skip
@_directory
def add_tokens(
    names: tuple[str, ...], fleet: Path | None, doorbells: int, days: int, host: str, port: int, broker_port: int,
    out: Path, directory: Path,
) -> None:  # fmt: skip
    """Make a one-time token for each NAME, and write it into a ticket, NAME.enrol, with the broker's address.

    \b
    Copy a ticket to the doorbell's boot partition as doorward.enrol, or run there:
    sudo doorward link enrol NAME.enrol
    """
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.enrolment_tokens import EnrolmentTokens
    from agent.errors import ConfigurationError
    from agent.platform import files
    from agent.wire import strictjson
    from agent.wire.broker_enrolment import BrokerTicket, read_ticket

    pki = BrokerPki(directory)
    wanted = [*names, *(_names_in(fleet) if fleet else ())]
    if not wanted:
        raise ConfigurationError("No doorbell is named.", remedy="Give names, or a fleet file with --fleet.")
    pki.require_host(host)
    authority = (pki.directory / "authorities" / "broker.pem").read_text(encoding="ascii")
    tokens = EnrolmentTokens(pki.directory)
    # Before the first token: a taken name would otherwise leave half of the tickets made.
    tokens.require_free(wanted)
    files.make_folder(out)
    for name in wanted:
        token = tokens.add(name, doorbells=doorbells, days=days)
        ticket = BrokerTicket(
            v=1, host=host, port=port, broker_port=broker_port, authority=authority, token=token
        )  # fmt: skip
        data = strictjson.encode(ticket)
        read_ticket(data)  # as a doorbell reads it
        files.write(out / f"{name}.enrol", data + b"\n", secret=True)
    click.echo(f"{len(wanted)} tickets are in {out}.  Each is a secret until its doorbell has used it.  Next:")
    click.echo("  doorward broker est                        while the doorbells are installed")
    click.echo("  copy each ticket to its card's boot partition as doorward.enrol")


@broker.command("tokens")
@_directory
@json_option
def tokens_command(directory: Path, as_json: bool) -> None:
    """List the tokens, and the doorbells that used them."""
    import msgspec

    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.enrolment_tokens import EnrolmentTokens

    found = EnrolmentTokens(BrokerPki(directory).directory).list()
    if as_json:
        emit_json({"tokens": [msgspec.to_builtins(each) for each in found]})
        return
    now_s = int(_now().timestamp())
    for each in found:
        state = "open" if each.is_open(now_s) else "used" if len(each.used) >= each.doorbells else "expired"
        end = datetime.datetime.fromtimestamp(each.end, datetime.UTC)
        click.echo(f"{each.name:40}  {state:8} {len(each.used)} of {each.doorbells}   until {end:%Y-%m-%d %H:%M} UTC")
        for used in each.used:
            at = datetime.datetime.fromtimestamp(used.at, datetime.UTC)
            click.echo(f"    {used.device}   {at:%Y-%m-%d %H:%M} UTC")
    if not found:
        click.echo("There are no tokens.  To make some:  doorward broker add-tokens NAME… --host HOST")


@broker.command("remove-token")
@click.argument("name")
@_directory
def remove_token(name: str, directory: Path) -> None:
    """End the token NAME.  Doorbells that used it keep their certificates."""
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.enrolment_tokens import EnrolmentTokens

    EnrolmentTokens(BrokerPki(directory).directory).remove(name)
    click.echo(f"The token {name} is removed.")


@broker.command()
@_directory
@click.option("--address", metavar="ADDRESS", default="0.0.0.0", show_default=True, help="Listen here.")  # noqa: S104 — for doorbells
@click.option("--port", metavar="PORT", type=Number(0, 65_535), default=8887, show_default=True, help="Listen here.")
@click.option("--keep", is_flag=True, help="Go on when no token is open.")
def est(directory: Path, address: str, port: int, keep: bool) -> None:
    """Give doorbells their certificates for one-time tokens (EST, RFC 7030), until no token is open.

    It needs the key of the device authority. Run it while doorbells are installed, and end it afterwards.
    """
    import contextlib
    import signal
    import threading

    without_rich()
    from agent.clients.broker.broker_pki import BrokerPki
    from agent.clients.broker.enrolment_tokens import EnrolmentTokens
    from agent.clients.broker.est_server import EstServer
    from agent.platform.stop_signals import StopSignals

    pki = BrokerPki(directory)
    tokens = EnrolmentTokens(pki.directory)
    done = threading.Event()

    def enrolled(name: str, device: str) -> None:
        click.echo(f"{name}: {device} is enrolled.")

    until = "" if keep else " or the last token is used"
    with StopSignals(done.set, [signal.SIGTERM]), contextlib.suppress(KeyboardInterrupt):
        server = EstServer(pki, tokens, (address, port), enrolled)
        try:
            server.start()
            click.echo(f"Doorbells can enrol on port {server.port}, until Ctrl-C{until}.")
            # A doorbell may ask once more if its connection broke, so the end waits a little.
            while not done.wait(_LOOK_S):
                if not keep and not tokens.has_open():
                    done.wait(_GRACE_S)
                    break
        finally:
            server.stop()
    if not keep and not tokens.has_open():
        click.echo("No token is open any more.")


def _names_in(fleet: Path) -> list[str]:
    from agent.config.fleet import load_fleet

    return [camera.name for camera in load_fleet(fleet)[0].cameras]


@broker.command("add-requester")
@click.argument("name")
@click.option(
    "--csr",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The signing request that 'doorward requester csr' made.  The key stays with the requester.",
)
@_directory
@_days
@json_option
def add_requester(name: str, csr: Path, directory: Path, days: int, as_json: bool) -> None:
    """Sign a certificate for the requester NAME, its id in the trust bundle, or for a worker of it.

    A worker is a person or machine with its own connection and the requester's rights: rijnstad-police.desk-2.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    files = BrokerPki(directory).add_requester(name, _now(), days, request=csr.read_bytes())
    _tell({"ca": files.authority, "certificate": files.certificate}, "the requester", as_json)
    if "." in name and not as_json:
        click.echo("The broker reads the rights of a new worker on:  sudo systemctl reload mosquitto")


@broker.command("add-root")
@click.argument("root")
@click.option(
    "--csr",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The signing request that 'doorward requester trust-root csr' made.",
)
@click.option(
    "--slots",
    type=Number(1, 12),
    show_default="what it has, or 6",
    help="Slots of 16 KiB, of the twelve of this broker.",
)
@_directory
@_days
@json_option
def add_root(root: str, csr: Path, slots: int | None, directory: Path, days: int, as_json: bool) -> None:
    """Let the trust root ROOT publish its bundles and revocations here.  ROOT is its key id, or its key (ed25519:…).

    Each doorbell of this broker reads the slots of all its roots, at most three: what has changed, 48 KiB of it at a
    connection and the rest within minutes.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    files = BrokerPki(directory).add_root(_key_id(root), _now(), days, request=csr.read_bytes(), slots=slots)
    _tell({"ca": files.authority, "certificate": files.certificate}, "the root", as_json)
    if not as_json:
        click.echo("The broker reads the rights of a new root on:  sudo systemctl reload mosquitto")


@broker.command("add-installer")
@click.argument("installer")
@click.option("--csr", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True,
              help="The signing request that 'doorward fleet init' made.")  # fmt: skip
@_directory
@_days
@json_option
def add_installer(installer: str, csr: Path, directory: Path, days: int, as_json: bool) -> None:
    """Let INSTALLER read the reports of health of this broker's doorbells.  They are sealed to each one's installer.

    INSTALLER is the id that 'doorward fleet init' prints.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    files = BrokerPki(directory).add_installer(installer, _now(), days, request=csr.read_bytes())
    _tell({"ca": files.authority, "certificate": files.certificate}, "the installer", as_json)
    if not as_json:
        click.echo("The broker reads the rights of a new installer on:  sudo systemctl reload mosquitto")


@broker.command()
@click.argument("name")
@_directory
def revoke(name: str, directory: Path) -> None:
    """Revoke a client's certificate.

    NAME is a doorbell's key id (or its key), a requester's id, or the name of one of its workers. You may use the name
    again.  Workers of a revoked requester keep their certificates until you revoke each.
    """
    from agent.clients.broker.broker_pki import BrokerPki

    name, pki = _key_id(name), BrokerPki(directory)
    role = pki.revoke(name, _now())
    click.echo(f"{name} is revoked (list of {role.value}).")
    workers = pki.workers(name) if "." not in name else []
    if workers:
        click.echo(f"These workers of it are not:  {' '.join(workers)}")
    click.echo("Now tell the broker:")
    click.echo("  sudo systemctl reload mosquitto     refuses its next connection")
    click.echo("  sudo systemctl restart mosquitto    also ends its present connection")


def _tell(files: dict[str, Path], whom: str, as_json: bool) -> None:
    if as_json:
        emit_json(dict(files))
        return
    click.echo(f"For {whom}:")
    for name, path in files.items():
        click.echo(f"  {name:12} {path}")


def _key_id(device: str) -> str:
    """Returns the id of a doorbell's key, or of a root's, as the programs print them; any other name unchanged."""
    from agent.wire.identities import parse_public_key

    return parse_public_key(device.partition("+")[0]).id if device.startswith("ed25519:") else device


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _refuse_odd_words(**words: str) -> None:
    """They become lines of mosquitto's configuration: a space or a line break there would be another line."""
    from agent.errors import ConfigurationError

    for name, word in words.items():
        if not word.isprintable() or any(mark in word for mark in " #"):
            raise ConfigurationError(f"--{name} {word!r} cannot stand in mosquitto's configuration.")

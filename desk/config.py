"""The desk's configuration: one commented file, `desk.toml`.

`locate` finds it: the path in DOORWARD_DESK_CONFIG, else `desk.toml` in the current folder, else
`/etc/doorward-desk/desk.toml`. `load` reads it, or raises one error that names file, line, key and remedy.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta

from agent.config.reading import convert, read_text
from agent.config.settings import CrossFieldError
from agent.platform import files

__all__ = ["ENVIRONMENT", "TEMPLATE", "DeskConfig", "Oidc", "Storage", "load", "locate", "machine_zone", "read_secret"]

ENVIRONMENT: Final = "DOORWARD_DESK_CONFIG"
_PLACES: Final = (Path("desk.toml"), Path("/etc/doorward-desk/desk.toml"))
_ABSENT: Final = "Make one with 'doorward-desk init FOLDER', or give its path in DOORWARD_DESK_CONFIG."
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SECRET_BYTES: Final = 16 * 1024
TEMPLATE: Final = Path(__file__).with_name("desk.toml")
"""The commented file that `doorward-desk init` writes."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
Hours = Annotated[int, Meta(ge=1, le=720)]


# Unknown keys are refused, because a misspelt one would silently have no effect.
class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """One table of the file."""


class Web(Section, frozen=True):
    """`[web]`: where browsers reach the desk."""

    host: str = "127.0.0.1"
    port: Port = 8444
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    """Names under which browsers may call the desk."""
    tls: Literal["made", "files", "proxy"] = "made"
    certificate: Path | None = None
    key: Path | None = None


class Database(Section, frozen=True):
    """`[database]`: SQLite in the data folder, or PostgreSQL."""

    kind: Literal["sqlite", "postgresql"] = "sqlite"
    host: str = ""
    """One server, or the primary and its standbys, with commas between them."""
    port: Port | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,4}(,[1-9][0-9]{0,4})*\Z")] = 5432
    """One for all servers, or one for each, with commas between them."""
    name: str = "doorward_desk"
    user: str = "doorward_desk"
    password_file: Path | None = None
    authority: Path | None = None
    """Certificates (PEM), one of which signs those of the servers. Needed if a server is on another machine."""


class Storage(Section, frozen=True):
    """`[storage]`: where the sealed parts of answers are: in the data folder, or in a bucket of an S3 store."""

    kind: Literal["folder", "s3"] = "folder"
    endpoint: str = ""
    bucket: Annotated[str, Meta(pattern=r"^[a-z0-9.-]{0,63}\Z")] = ""
    prefix: Annotated[str, Meta(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?\Z", max_length=100)] = ""
    """Beginning of all keys, if other programs use the bucket, too."""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key_file: Path | None = None
    authority: Path | None = None
    """Certificates that are trusted besides the system's (PEM)."""
    object_lock: bool = False
    """A legal hold also locks the objects. The bucket must have object lock."""
    capacity_gib: Annotated[int, Meta(ge=1, le=10_000_000)] = 1000
    """Most bytes of one organisation's footage. A doorbell may use a share of the room that is left."""


class SignIn(Section, frozen=True):
    """`[sign_in]`: how long a session lasts."""

    idle_minutes: Minutes = 30
    session_hours: Hours = 12
    link_hours: Hours = 72
    """A one-time link for a colleague works for this long."""


class Oidc(Section, frozen=True):
    """`[[oidc]]`: one identity provider that people may sign in with."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
    name: str
    issuer: str
    client_id: str
    client_secret_file: Path
    email_domains: tuple[str, ...] = ()
    """Domains of the addresses for which this provider may vouch. Empty: all of them."""


class Map(Section, frozen=True):
    """`[map]`: the background of the map. Without tiles, the map draws its own grid."""

    tiles: str = ""
    attribution: str = ""
    latitude: Annotated[float, Meta(ge=-85, le=85)] = 52.0
    longitude: Annotated[float, Meta(ge=-180, le=180)] = 5.0
    zoom: Annotated[float, Meta(ge=0, le=20)] = 6.0


class Broker(Section, frozen=True):
    """`[broker]`: where answers come from. Without a host the desk receives nothing."""

    host: str = ""
    port: Port = 8884
    """The listener for requesters of a broker that `doorward broker init` made. 8883 is the one for doorbells there."""
    worker: Annotated[str, Meta(pattern=r"^[a-z0-9-]{0,32}\Z")] = ""
    """The part of the certificate's name after the dot, if the organisation has several connections."""


class Token(Section, frozen=True):
    """`[token]`: a PKCS#11 token for signing keys, for example an HSM or a smart card."""

    module: Path
    label: str
    pin_file: Path


class Hooks(Section, frozen=True):
    """`[hooks]`: where the web hooks of the organisations may go."""

    private: tuple[str, ...] = ()
    """Hosts whose addresses may be private or of this computer."""
    authority: Path | None = None
    """Certificates that are trusted besides the system's (PEM)."""


class Public(Section, frozen=True):
    """`[public]`: pages for people without an account."""

    bulletins: bool = True
    tips: bool = False
    """Tips from any browser to the organisations of this desk (`desk.neighbourhood.tip_relay`)."""
    neighbours: bool = False
    """Requests and notices of neighbours, for organisations of the kind "neighbour" (`desk.neighbourhood`)."""


class Metrics(Section, frozen=True):
    """`[metrics]`: figures for Prometheus, on 127.0.0.1 only."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: none are served."""


class Mail(Section, frozen=True):
    """`[mail]`: the server for reminders. Without a host no mail goes out."""

    host: str = ""
    port: Port = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: Path | None = None
    sender: str = ""
    """Address that mails come from."""


class DeskConfig(Section, frozen=True):
    """The whole file."""

    data: Path = Path("data")
    language: Literal["en", "nl"] = "en"
    time_zone: str = ""
    """Name in the tz database; empty: the zone of this machine (`zone`)."""
    web: Web = Web()
    database: Database = Database()
    storage: Storage = Storage()
    sign_in: SignIn = SignIn()
    oidc: tuple[Oidc, ...] = ()
    map: Map = Map()
    broker: Broker = Broker()
    token: Token | None = None
    hooks: Hooks = Hooks()
    mail: Mail = Mail()
    public: Public = Public()
    metrics: Metrics = Metrics()

    @property
    def zone(self) -> str:
        """Returns the name of the time zone in which pages show times."""
        return self.time_zone or machine_zone()

    @property
    def address(self) -> str:
        """Returns the address that people open, without a slash at its end."""
        return f"https://{self.web.names[0]}" + ("" if self.web.tls == "proxy" else f":{self.web.port}")


def machine_zone(link: Path = Path("/etc/localtime")) -> str:
    """Returns the time zone of this machine by where `link` leads, or UTC if it names none."""
    name = str(link.resolve()).partition("zoneinfo/")[2]
    return name if name in available_timezones() else "UTC"


def locate() -> Path | None:
    """Returns the file to read, or None if it is missing."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    return next((path for path in _PLACES if files.is_file(path)), None)


def load(path: Path) -> DeskConfig:
    """Returns the configuration in the file. Raises `ConfigurationError`."""
    path = path.absolute()
    config = convert(read_text(path, _ABSENT), path, DeskConfig, cross_field_errors)
    return msgspec.structs.replace(config, data=path.parent / config.data)  # the default is relative, too


def read_secret(path: Path | None) -> str:
    """Returns the secret in a file that the configuration names, without white space around it, or an empty text.

    Raises `StorageError`, which names the file.
    """
    return files.read(path, _SECRET_BYTES).decode(errors="replace").strip() if path else ""


def cross_field_errors(config: DeskConfig) -> Iterator[CrossFieldError]:
    """Yields each contradiction between values."""
    if config.time_zone and config.time_zone not in available_timezones():
        yield CrossFieldError(("time_zone",), "this time zone does not exist.", "Write one like Europe/Amsterdam.")
    web = config.web
    if web.tls == "files" and not (web.certificate and web.key):
        remedy = "Name the files in web.certificate and web.key, or set tls to 'made'."
        yield CrossFieldError(("web", "tls"), "files need a certificate and a key.", remedy)
    if web.tls == "proxy" and web.host not in _LOOPBACK:
        remedy = "Let the proxy reach the desk on 127.0.0.1, or set tls to 'files'."
        yield CrossFieldError(("web", "host"), "behind a proxy the desk speaks plain HTTP, on loopback only.", remedy)
    yield from _database_errors(config.database)
    yield from _storage_errors(config.storage)
    yield from _mail_errors(config.mail)
    for index, provider in enumerate(config.oidc):
        if not provider.issuer.startswith("https://") and not provider.issuer.startswith("http://127.0.0.1:"):
            remedy = "Write the issuer as https://…"
            yield CrossFieldError(("oidc", index, "issuer"), "an issuer is reached by HTTPS only.", remedy)
        if len(config.oidc) > 1 and not provider.email_domains:
            remedy = 'Write the domains of its people, for example email_domains = ["rijnstad.example"].'
            problem = "with several providers, each one could sign in the people of the others."
            yield CrossFieldError(("oidc", index, "email_domains"), problem, remedy)


def _database_errors(database: Database) -> Iterator[CrossFieldError]:
    if database.kind != "postgresql":
        return
    hosts, ports = database.host.split(","), str(database.port).split(",")
    if not all(each.strip() for each in hosts):
        remedy = "Write the name of the server, or the folder of its socket. Several names have commas between them."
        yield CrossFieldError(("database", "host"), "PostgreSQL needs a host.", remedy)
    if len(ports) not in (1, len(hosts)):
        remedy = 'Write one port for all servers, or one for each, for example "5432,5433".'
        yield CrossFieldError(("database", "port"), f"there are {len(hosts)} hosts and {len(ports)} ports.", remedy)
    if database.authority is not None and not files.is_file(database.authority):
        remedy = "Put the certificate of the servers' authority there (PEM), or write where it is."
        yield CrossFieldError(("database", "authority"), f"{database.authority} is missing.", remedy)
    away = [each for each in map(str.strip, hosts) if each and not _is_on_this_computer(each)]
    if away and database.authority is None:
        remedy = (
            "Name the authority of its certificate (PEM) in database.authority, and the server as its certificate does "
            "(docs/desk.md, TLS to the database)."
        )
        problem = f"{away[0]} is another computer, and PostgreSQL there is reached by TLS only."
        yield CrossFieldError(("database", "host"), problem, remedy)


def _is_on_this_computer(host: str) -> bool:
    """Returns True for the folder of a socket, and for an address of loopback. Another name may lead anywhere."""
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _storage_errors(storage: Storage) -> Iterator[CrossFieldError]:
    if storage.kind == "folder":
        return
    for name in ("endpoint", "bucket", "access_key", "secret_key_file"):
        if not getattr(storage, name):
            yield CrossFieldError(("storage", name), f"an S3 store needs {name}.", "Ask the store's operator for it.")
    address = urlsplit(storage.endpoint)
    if storage.endpoint and address.scheme != "https" and address.hostname not in _LOOPBACK:
        remedy = "Write the address as https://…"
        yield CrossFieldError(("storage", "endpoint"), "an S3 store is reached by HTTPS only.", remedy)


def _mail_errors(mail: Mail) -> Iterator[CrossFieldError]:
    if mail.host and "@" not in mail.sender:
        remedy = 'Write the address that mails come from, for example sender = "desk@rijnstad.example".'
        yield CrossFieldError(("mail", "sender"), "mail needs the address of its sender.", remedy)
    if mail.host and mail.tls == "none" and mail.host not in _LOOPBACK:
        remedy = "Set tls to 'starttls' or 'tls', or name a server on this computer."
        yield CrossFieldError(("mail", "tls"), "without TLS a mail goes to a server on this computer only.", remedy)

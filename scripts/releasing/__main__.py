"""`python scripts/releasing COMMAND`: build a release, sign it, publish it. docs/releasing.md shows the order."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from installation.words import FailedError, fail, say
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, TargetFile, Targets

from releasing import apt_repository, build, imager_list, key_files, provenance, reproduce
from releasing.checking import check
from releasing.package_rules import versions_of
from releasing.signing import changes, holder_of, sign, signed_before
from releasing.update_file import write_update_file
from releasing.update_repository import ROLES, UpdateRepository, keys_of, read, write

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> int:
    wanted = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], None] = wanted.run
        run(wanted)
    except FailedError as error:
        return _ends(error.message, error.remedy)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _ends(f"{place}{error.strerror or error}.", "look at this path, its rights and the room on the disk.")
    except EOFError:
        return _ends("A question stayed without an answer.", "run it in a terminal, or give the options for it.")
    return 0


def _ends(message: str, remedy: str) -> int:
    print(f"\nError: {message}\n  What to do: {remedy}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="releasing", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], None], told: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=told, description=told)
        made.set_defaults(run=run)
        return made

    _of_a_builder(command)
    _of_a_holder(command)
    _of_the_repository(command)
    return parser


_Command = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def _of_a_builder(command: _Command) -> None:
    made = command("build", _build, "build the last commit into dist/VERSION")
    made.add_argument("--version", help="first write this version and the date, as one commit")
    made.add_argument("--out", type=Path, default=ROOT / "dist")
    made = command(
        "reproduce", _reproduce, "build the last commit twice, in unlike surroundings, and compare the bytes"
    )
    made.add_argument("--out", type=Path, help="keep the files of the first build here")
    made = command("cards", _cards, "compress card images and write the list for Raspberry Pi Imager")
    made.add_argument(
        "images", nargs="+", metavar="BOARD=IMAGE", help=f"of {', '.join(imager_list.BOARDS)}, as rpi-image-gen made it"
    )
    made.add_argument("--address", required=True, help="https address of the folder that will hold the files")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--read-only", action="store_true", help="images of doorward-slots")


def _of_a_holder(command: _Command) -> None:
    made = command("key", _key, "make a signing key that a passphrase protects")
    made.add_argument("holder", help="who keeps it, for example anna-root")
    made.add_argument("--out", type=Path, default=Path())
    _passphrase(made)
    made = command("sign", _sign, "add your signature to a proposal")
    made.add_argument("proposal", type=Path)
    made.add_argument("--key", type=Path, required=True)
    made.add_argument("--root", type=Path, help="the root.json in force; not needed for the first root")
    made.add_argument("--before", type=Path, help="the targets.json in force; what is not in it must be of your build")
    made.add_argument("--before-root", type=Path, help="the root.json of its signers, if that is not --root")
    made.add_argument("--built", type=Path, help="your own build of the release")
    made.add_argument("--yes", action="store_true", help="do not ask")
    _passphrase(made)


def _of_the_repository(command: _Command) -> None:
    made = command("propose-root", _propose_root, "write the next root.json for signing")
    for role in ROLES:
        made.add_argument(f"--{role}", type=Path, nargs="+", default=[], metavar="PUB", help=f"all keys of {role}")
    _repository(made, "--out")
    made = command("propose", _propose, "write the next targets.json for signing")
    made.add_argument("release", type=Path, nargs="?", help="the folder of the release to add")
    made.add_argument("--withdraw", nargs="+", default=[], metavar="VERSION")
    _repository(made, "--out")
    made = command("publish", _publish, "make signed proposals visible")
    made.add_argument("proposals", type=Path, nargs="+", help="all signed copies")
    made.add_argument("--release", type=Path, help="the folder with the files of the release")
    _repository(made, "--snapshot-key", "--timestamp-key")
    made.add_argument("--apt-key", help="fingerprint of the OpenPGP key of the apt repository, in gpg's keyring")
    _passphrase(made)
    made = command("renew", _renew, "write a new timestamp (each day)")
    _repository(made, "--timestamp-key")
    made.add_argument("--snapshot-key", type=Path, help="also renews snapshot.json if it expires soon")
    made.add_argument("--apt-key", help="also signs the apt repository again")
    _passphrase(made)
    _repository(command("show", _show, "show keys, versions and what expires"))
    made = command("check", _check, "visit a repository as a doorbell does, and check every file")
    made.add_argument("--root", type=Path, required=True, help="the root.json you trust")
    _repository(made)
    made = command("bundle", _bundle, "write an update as one file, for doorbells without a network")
    made.add_argument("version")
    made.add_argument("architecture", choices=["amd64", "arm64"])
    _repository(made, "--out")


def _repository(parser: argparse.ArgumentParser, *needed: str) -> None:
    parser.add_argument("--repository", type=Path, required=True)
    for name in needed:
        parser.add_argument(name, type=Path, required=True)


def _passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passphrase-file", type=Path, help="read the passphrase from a file (for a timer)")


# --- The commands


def _build(wanted: argparse.Namespace) -> None:
    if wanted.version and wanted.version != build.version_of(ROOT):
        build.set_version(ROOT, wanted.version, _now().date().isoformat())
        say(f"Committed version {wanted.version}.")
    folder = build.build(ROOT, wanted.out)
    for path in sorted(folder.iterdir()):
        print(f"{build.sha256(path)}  {path.name}")
    say(f"Next:  python scripts/releasing propose {folder} --repository … --out …")


def _reproduce(wanted: argparse.Namespace) -> None:
    for name, digest in reproduce.reproduce(ROOT, keep=wanted.out).items():
        print(f"{digest}  {name}")
    say("Both builds are the same, bit for bit.")


def _cards(wanted: argparse.Namespace) -> None:
    images: dict[str, Path] = {}
    for each in wanted.images:
        board, equals, path = each.partition("=")
        if not equals or board in images:
            fail(f"{each} is no BOARD=IMAGE, or its board is there twice.", "give rpi4=doorward-card.img, for example.")
        images[board] = Path(path)
    made = imager_list.write_cards(
        images, wanted.out, icon=ROOT / "agent" / "web" / "static" / "icon-192.png", version=build.version_of(ROOT),
        date=_now().date().isoformat(), address=wanted.address, read_only=wanted.read_only,
    )  # fmt: skip
    for path in sorted(wanted.out.iterdir()):
        print(f"{build.sha256(path)}  {path.name}")
    say(f"Copy all of them to {wanted.address}. Imager opens {made.name}.")


def _key(wanted: argparse.Namespace) -> None:
    passphrase = _ask(wanted, "Passphrase for the new key", twice=True)
    sealed, public = key_files.make(wanted.holder, passphrase)
    key_files.write_new(wanted.out / f"{wanted.holder}.key", sealed, 0o600)
    key_files.write_new(wanted.out / f"{wanted.holder}.pub", public)
    say(f"{wanted.holder}.key is secret: two copies, apart, offline. {wanted.holder}.pub is for everybody.")
    say(f"Key ID: {json.loads(public)['keyid']}")


def _sign(wanted: argparse.Namespace) -> None:
    root = read(wanted.root, Root).signed if wanted.root else None
    before = _before(wanted, root)
    for line in changes(wanted.proposal, root, before):
        print(line)
    if not wanted.yes and input("\nSign this? Type yes: ") != "yes":
        fail("Not signed.", "ask the person who proposed it.")
    signer = key_files.open_key(wanted.key, _ask(wanted, f"Passphrase of {wanted.key.name}"))
    say(f"Signed: {', '.join(sign(wanted.proposal, signer, root, wanted.built, before))}")


def _before(wanted: argparse.Namespace, root: Root | None) -> Targets | None:
    judge = read(wanted.before_root, Root).signed if wanted.before_root else root
    if wanted.before is None:
        return None
    if judge is None:
        fail("A targets.json is judged by a root.json.", "give the root in force with --root.")
    return signed_before(read(wanted.before, Targets), judge)


def _propose_root(wanted: argparse.Namespace) -> None:
    keys = {role: [key_files.read_public(path) for path in getattr(wanted, role)] for role in ROLES}
    made = UpdateRepository(wanted.repository).propose_root(keys, _now(), wanted.out)
    say(f"{made} waits for signatures.")


def _propose(wanted: argparse.Namespace) -> None:
    add: dict[str, TargetFile] = {}
    if wanted.release:
        told = build.description_of(wanted.release)
        for name, custom in told["files"].items():
            add[name] = build.target_of(wanted.release / name, custom)
    made = UpdateRepository(wanted.repository).propose_targets(_now(), wanted.out, add=add, withdraw=wanted.withdraw)
    if wanted.release:
        version = told["version"]
        payload = (wanted.release / f"doorward-{version}.statement.json").read_bytes()
        write(wanted.out / provenance.envelope_name(version), provenance.unsigned(payload))
    say(f"{made} waits for signatures.")


def _publish(wanted: argparse.Namespace) -> None:
    repository = UpdateRepository(wanted.repository)
    snapshot, timestamp = _online(wanted, "snapshot_key"), _online(wanted, "timestamp_key")
    repository.publish(wanted.proposals, _now(), snapshot=snapshot, timestamp=timestamp, release=wanted.release)
    _apt(wanted, repository)
    for line in repository.expiring(_now()):
        say(line)


def _renew(wanted: argparse.Namespace) -> None:
    repository = UpdateRepository(wanted.repository)
    snapshot = _online(wanted, "snapshot_key") if wanted.snapshot_key else None
    for line in repository.renew(_now(), timestamp=_online(wanted, "timestamp_key"), snapshot=snapshot):
        say(line)
    _apt(wanted, repository)


def _apt(wanted: argparse.Namespace, repository: UpdateRepository) -> None:
    if wanted.apt_key:
        apt_repository.write_apt_repository(repository, _now(), apt_repository.Gpg(wanted.apt_key))
    elif (repository.folder / "dists").is_dir():
        say("The apt repository is as it was: give --apt-key.")


def _show(wanted: argparse.Namespace) -> None:
    repository = UpdateRepository(wanted.repository)
    root = repository.root().signed
    for role in ROLES:
        names = ", ".join(holder_of(key) for key in keys_of(root, role))
        print(f"{role}: {root.roles[role].threshold} of {len(keys_of(root, role))}: {names}")
    targets = repository.current_targets()
    for version, files in (versions_of(targets.signed) if targets else {}).items():
        print(f"{version}: {len(files)} files")
    for line in repository.expiring(_now()):
        say(line)


def _check(wanted: argparse.Namespace) -> None:
    for name in check(wanted.repository, wanted.root.read_bytes()):
        print(name)
    say("All of them are what two of the holders signed.")


def _bundle(wanted: argparse.Namespace) -> None:
    made = write_update_file(UpdateRepository(wanted.repository), wanted.version, wanted.architecture, wanted.out)
    say(f"{made}  {build.sha256(made)}")


def _online(wanted: argparse.Namespace, name: str) -> CryptoSigner:
    path: Path = getattr(wanted, name)
    return key_files.open_key(path, _ask(wanted, f"Passphrase of {path.name}"))


def _ask(wanted: argparse.Namespace, question: str, *, twice: bool = False) -> str:
    if wanted.passphrase_file:
        return str(wanted.passphrase_file.read_text().rstrip("\n"))
    given = getpass.getpass(f"{question}: ")
    if twice and getpass.getpass("Once more: ") != given:
        fail("The two differ.", "run it again.")
    return given


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

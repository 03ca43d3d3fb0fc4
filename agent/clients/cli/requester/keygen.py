"""`doorward requester keygen`, `root` and `bundle`: the keys of requesters and roots, and the bundles between them."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import emit_json, json_option
from agent.clients.cli.requester.options import folder_option, now_s, promise_options
from agent.clients.requester.identity import TIPS_RECIPIENT, Requester
from agent.clients.requester.keys import FileSigner, load_key, make_trust_key, trust_key_of
from agent.clients.requester.request_builder import parse_onward
from agent.clients.requester.roots import KnownRoots
from agent.clients.requester.trust_bundles import make_bundle, make_directory, read_bundle
from agent.errors import ConfigurationError
from agent.platform import files
from agent.wire.broker_directory import DIRECTORY_LIMIT_BYTES
from agent.wire.fields import Kind
from agent.wire.trust import BUNDLE_ENVELOPE_LIMIT_BYTES
from agent.wire.trust_package import PACKAGE_LIMIT_BYTES

__all__ = ["bundle", "keygen", "root"]

_BROKERS = "brokers.json"
"""File of the broker directory, beside the bundle."""


@click.command()
@folder_option
@click.option(
    "--id", "requester_id", metavar="ID", help="Name in topics and files: a-z, 0-9 and -, at most 32 characters."
)
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Kind of requester.")
@click.option("--trust-root", metavar="KEY_ID", help="Key id of the root that will vouch for you.")
@click.option("--root", is_flag=True, help="Make a root's key instead, to vouch for requesters.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    default=Path("root.key"),
    show_default=True,
    help="File for the key of --root.",
)
@promise_options
@json_option
def keygen(
    folder: Path,
    requester_id: str | None,
    kind: str | None,
    trust_root: str | None,
    retention_days: int | None,
    onward: str | None,
    onward_basis: str | None,
    language: str | None,
    root: bool,
    key: Path,
    as_json: bool,
) -> None:
    """Make a requester's folder and signing key, or with --root the key of a root.

    --retention-days, --onward and --language become the defaults of your requests (requester.json).  The private key
    stays in the folder.  The printed lines are for the root's list (see 'bundle').
    """
    if root:
        public = make_trust_key(key)
        if as_json:
            emit_json({"key_file": key, "key": public.text, "key_id": public.id})
            return
        click.echo(f"The root's private key is in {key}: keep it off the network.\n")
        click.echo(f"  public key   {public.text}     owners who trust you add this")
        click.echo(f"  key id       {public.id}     your requesters name this as --trust-root")
        return
    if requester_id is None or kind is None:
        raise ConfigurationError("A requester needs an id and a kind.", remedy="Give --id and --kind, or --root.")
    made = Requester.create(
        folder,
        requester_id,
        Kind(kind),
        trust_root,
        retention_days=retention_days,
        onward=parse_onward(onward, onward_basis) if onward is not None else None,
        language=language,
    )
    if as_json:
        emit_json({"folder": folder, "id": made.id, "kind": kind, "key": made.key.text, "key_id": made.key.id,
                   "tips": folder / TIPS_RECIPIENT})  # fmt: skip
        return
    click.echo(
        f"{folder} is the folder of requester '{made.id}'.  Send your root these lines, and {TIPS_RECIPIENT} from it:\n"
    )
    click.echo(f'[[requesters]]\nid = "{made.id}"\nname = "…"\nkind = "{kind}"')
    click.echo("regions = [{ south = …, west = …, north = …, east = … }]")
    click.echo(f'tips = "{TIPS_RECIPIENT}"     # the file beside this list, so that owners can send you tips\n')
    click.echo(f'[[requesters.keys]]\nkey = "{made.key.text}"\nfrom = …\nuntil = …')


@click.command()
@folder_option
@click.argument("key", metavar="KEY")
@click.argument("file", metavar="BUNDLE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--brokers", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="The root's brokers.json, if its area has several brokers.")  # fmt: skip
@json_option
def root(folder: Path, key: str, file: Path, brokers: Path | None, as_json: bool) -> None:
    """Import the BUNDLE of the root with the public key KEY, as doors do.

    From then on this program refuses to sign a request outside your regions, over your limits, or under a root that has
    not listed you.  Doors check the same themselves.
    """
    who, at_s = Requester.open(folder), now_s()
    directory = None if brokers is None else files.read(brokers, DIRECTORY_LIMIT_BYTES)
    listed = KnownRoots(who).accept(key, files.read(file, PACKAGE_LIMIT_BYTES), at_s, directory)
    served = KnownRoots(who).brokers(listed.root, at_s)
    addresses = [str(each) for each in served[1]] if served is not None else []
    regions = [{"south": each.south, "west": each.west, "north": each.north, "east": each.east}
               for each in listed.regions]  # fmt: skip
    if as_json:
        emit_json({"root": listed.root, "id": listed.id, "name": listed.name, "kind": listed.kind.value,
                   "regions": regions, "brokers": addresses})  # fmt: skip
        return
    click.echo(f"Root {listed.root} lists you as {listed.name} ({listed.kind.value}).  You may ask in:")
    for each in listed.regions:
        click.echo(f"    {each.south:g} to {each.north:g} north, {each.west:g} to {each.east:g} east")
    if addresses:
        click.echo(f"Without --broker, commands connect to the brokers there: {', '.join(addresses)}.")
    if who.profile.trust_root is None:
        click.echo(f"Ask with --trust-root {listed.root}.")


@click.command()
@click.argument("source", metavar="LIST", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--root-key", type=click.Path(path_type=Path), default=Path("root.key"), show_default=True,
              help="Your root's private key, as 'keygen --root' made it.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("bundle.dsse"), show_default=True,
              help="File for the signed bundle, for owners to import.")  # fmt: skip
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
    # tips = "rijnstad-police/tips.recipient"     optional: the requester's file, so that owners can send tips
    [[requesters.keys]]
    key = "ed25519:…"                     # from 'doorward requester keygen'
    from = 2026-01-01
    until = 2026-12-31                    # to the end of that day, UTC
    revoked = false                       # optional
    [[brokers]]                           # optional: if the area has several brokers
    host = "north.broker.example"
    port = 8884                           # where requesters connect
    areas = [{ south = 52, west = 4, north = 53, east = 6 }]
    """
    signer = FileSigner(load_key(root_key))
    previous = files.read(out, BUNDLE_ENVELOPE_LIMIT_BYTES) if files.is_there(out) else None
    data = make_bundle(source, signer, issued_s=now_s(), previous=previous)
    root = trust_key_of(signer)
    directory = make_directory(source, root)
    if directory is not None:
        files.write(out.with_name(_BROKERS), directory)  # first: the bundle names it
    files.write(out, data)
    made = read_bundle(data, root)
    if as_json:
        emit_json({"file": out, "root": root.id, "version": made.version, "requesters": len(made.requesters),
                   "brokers": out.with_name(_BROKERS) if directory is not None else None})  # fmt: skip
        return
    if directory is not None:
        click.echo(f"{out.with_name(_BROKERS)} lists the brokers: give it to requesters together with the bundle.")
    click.echo(f"{out}: version {made.version}, signed by root {root.id}, vouches for {len(made.requesters)}.")
    for each in made.requesters:
        click.echo(f"  {each.id}: {each.name} ({each.kind.value})")

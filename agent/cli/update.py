"""`doorward update`: what is on offer, a look for news, and an installation, also from a file without a network."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.frame import Group, config_option, emit_json, json_option
from agent.cli.language import confirm, in_words, say, spoken
from agent.cli.update_troubles import TROUBLES
from agent.core.languages import ENGLISH

if TYPE_CHECKING:
    from agent.config import Configuration
    from agent.core.updates import Offer, UpdateSource, UpdateState
    from agent.updater.fetchers import BoundedFetcher
    from agent.updater.machine import UpdateFolders
    from agent.updater.root_step import RootStep

__all__ = ["update"]

_SHIPPED_ROOT = Path(__file__).resolve().parents[2] / "config" / "updates" / "root.json"
_MOST_ROOT_BYTES = 64 * 1024
_LOOKS = "DOORWARD_UPDATE_LOOKS"
"""In the environment of root's step: how often it has looked since systemd started it. Older versions ignore it."""
_MOST_LOOKS = 5
_NO_SOURCE = "This doorbell does not look for updates: the configuration has no [updates], or no first root."
_OUTCOMES = {
    "installed": "{version} was installed.",
    "taken back": "{version} was taken back, and the version before runs. It is installed only if you choose it again.",
    "rolled back": "{version} did not run well here, and the version before is back.",
    "refused": "{version} was not installed. Nothing was changed.",
    "interrupted": "The installation of {version} was interrupted. The version before runs.",
}


@click.group(cls=Group, invoke_without_command=True)
@click.option(
    "--file", "file", type=click.Path(path_type=Path, exists=True),
    help="Install from this folder or .update file, without a network.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
@click.pass_context
def update(context: click.Context, file: Path | None, yes: bool, config: Path, as_json: bool) -> None:
    """Show which update is on offer, or install one from a file.

    With --file, every signature is checked as for an update from the network. FILE is an .update file, or a folder with
    a whole update repository.
    """
    if context.invoked_subcommand is not None:
        return
    if file is None:
        _show(_store_state(), as_json=as_json)
    else:
        _install_from(file, config, ask=not yes)


@update.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def install(yes: bool) -> None:
    """Install the update on offer now."""
    _as_root()
    step = _root_step()
    offer = step.store.state.offer
    if offer is None:
        say("No update is on offer.  To look for one:  sudo doorward update check")
        raise click.exceptions.Exit(1)
    _install(step, offer, ask=not yes, by_hand=False)


@update.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def back(yes: bool) -> None:
    """Go back from the running version to the one before.

    The version before stays only if it runs well. Its faults come back with it: what the running version mends is not
    mended there. Automatic updates leave the version out that you go back from.
    """
    from agent.updater.root_step import run_version_before, version_before

    _as_root()
    opt = _folders().opt
    before = version_before(opt)
    if before is None:
        say("There is no version before this one.")
        raise click.exceptions.Exit(1)
    step = _root_step(b"")
    now = step.store.state.running
    say(f"Running: {now}")
    say(f"The version before: {before}")
    say(f"Security faults that {now} mends are open again until you install it or a newer one.")
    if not yes:
        confirm(f"Go back to {before} now? Recording pauses for about a minute.")
    try:
        gone = step.go_back(lambda: run_version_before(opt))
    finally:
        _start_step()
    if not gone:
        say(f"{now} runs on.")
        raise click.exceptions.Exit(1)
    say(_OUTCOMES["taken back"].format(version=now))


@update.command("forget-owners")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget_owners(yes: bool) -> None:
    """Let root believe the owners that the doorbell has now.

    An owner's way back on the page counts only for owners that root knows. Root knows the first ones that it saw, and
    those who follow them. Run this if the doorbell was set up again without 'doorward reset'.
    """
    from agent.updater.pinned_owners import OwnerPin

    _as_root()
    if not yes:
        confirm("Was the doorbell set up again by its owners?")
    OwnerPin(_folders().store / "owners.json").forget()
    # Until root's step has run, the page says that root knows other owners.
    subprocess.run(["/usr/bin/systemctl", "start", "doorward-update.service"], check=False)
    say("Root believes the owners that the doorbell shows next.")


@update.command()
def check() -> None:
    """Look for an update now, and show what is found."""
    _as_root()
    _source(_folders())
    # First the fetch, as a user without secrets, then root's step, which judges what was fetched.
    for unit in ("doorward-updater.service", "doorward-update.service"):
        subprocess.run(["/usr/bin/systemctl", "start", unit], check=False)  # noqa: S603 (fixed words)
    _show(_store_state(), as_json=False)


@update.command(hidden=True)
def fetch() -> None:
    """Stage the newest release.  doorward-updater.service runs this, as a user without secrets."""
    from agent import __version__
    from agent.platform.system_clock import SystemClock
    from agent.updater.fetching import Staging
    from agent.updater.machine import this_machine

    folders = _folders()
    package = Staging(folders.staging).fetch(_source(folders), this_machine(__version__), SystemClock().now())
    say("Nothing new." if package is None else f"{package.version} is staged.")


@update.command(hidden=True)
def step() -> None:
    """Take in what is staged, and install what an owner wished for.  doorward-update.service runs this as root."""
    if _root_step().run():
        _step_again()


def _step_again() -> None:
    """Runs root's step once more in place of this process, with the program of the version that is current by now.

    A custodian that was taken over could write without end, so this has a limit.
    """
    looks = int(os.environ.get(_LOOKS, "1"))
    if looks < _MOST_LOOKS:
        os.environ[_LOOKS] = str(looks + 1)
        program = str(_folders().opt / "current" / "bin" / "doorward")
        # `current` may lead to another version by now. Its own code must do the next step.
        os.execv(program, [program, "update", "step"])  # noqa: S606 (fixed words, root's own folder)


def _start_step() -> None:
    """Starts root's step, which did nothing while a person with root installed something or went back."""
    words = ["/usr/bin/systemctl", "start", "--no-block", "doorward-update.service"]
    with suppress(OSError):  # no systemd
        subprocess.run(words, check=False)  # noqa: S603 (fixed words)


def _folders() -> UpdateFolders:
    from agent.updater.machine import UpdateFolders

    return UpdateFolders()


def _is_at_work() -> bool:
    from agent.updater.root_step import is_at_work

    return is_at_work(_folders().opt)


def _source(folders: UpdateFolders) -> UpdateSource:
    """Returns what `doorward apply` wrote. Raises `ConfigurationError` if this doorbell does not look for updates."""
    from agent.core.updates import MAX_STATE_BYTES, UpdateSource
    from agent.errors import ConfigurationError
    from agent.platform import files
    from agent.wire import strictjson

    limit_bytes = 2 * MAX_STATE_BYTES
    data = files.read_if_there(folders.source, limit_bytes)
    if data is None:
        raise ConfigurationError(
            _NO_SOURCE,
            remedy="Add it, then run:  sudo doorward apply",
        )
    return strictjson.decode(data, UpdateSource, limit_bytes=limit_bytes)


def _looks() -> bool:
    """Returns False only if this doorbell surely does not look for updates."""
    try:
        _folders().source.stat()
    except FileNotFoundError:
        return False
    except OSError:  # not for this user's eyes
        return True
    return True


def _store_state() -> UpdateState:
    from agent import __version__
    from agent.updater.machine import Machine
    from agent.updater.release_store import ReleaseStore

    return ReleaseStore(_folders().store, b"", Machine(__version__, "", "")).state


def _root_step(root: bytes | None = None) -> RootStep:
    from agent import __version__
    from agent.platform.system_clock import SystemClock
    from agent.updater.machine import this_machine
    from agent.updater.release_store import ReleaseStore
    from agent.updater.root_step import RootStep, install_tree

    folders = _folders()
    trusted = _source(folders).root.encode() if root is None else root
    store = ReleaseStore(folders.store, trusted, this_machine(__version__))
    return RootStep(store, folders.staging, folders.wishes, folders.opt, SystemClock().now, install_tree)


def _install_from(file: Path, config: Path, *, ask: bool) -> None:
    """Verifies and installs from a folder or file of the person who runs this."""
    from agent.config import load
    from agent.updater.fetchers import fetcher_for

    _as_root()
    step = _root_step(_first_root(load(config)))
    step.store.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    fetcher: BoundedFetcher = fetcher_for(str(file.resolve()), step.store.folder)
    offer = step.admit(fetcher)
    if offer is None:
        say("Nothing in it is newer than the running version and made for this machine.")
        raise click.exceptions.Exit(1)
    _install(step, offer, ask=ask, by_hand=True)


def _first_root(configuration: Configuration) -> bytes:
    from agent.errors import ConfigurationError
    from agent.platform import files

    chosen = configuration.updates.root if configuration.updates is not None else None
    path = chosen or _SHIPPED_ROOT
    data = files.read_if_there(path, _MOST_ROOT_BYTES)
    if data is None:
        raise ConfigurationError(
            f"There is no first root of updates at {path}, so no update can be believed.",
            remedy="Get root.json from a person you trust, and name it in updates.root.",
        )
    return data


def _install(step: RootStep, offer: Offer, *, ask: bool, by_hand: bool) -> None:
    _say_described(offer)
    if ask:
        confirm(f"Install {offer.version} now? Recording pauses for about a minute.")
    try:
        result = step.install(offer, by_hand=by_hand)
    finally:
        _start_step()
    say(_OUTCOMES[result.value].format(version=offer.version))
    if result.value != "installed":
        raise click.exceptions.Exit(1)


def _show(state: UpdateState, *, as_json: bool) -> None:
    looks = _looks()
    if as_json:
        import msgspec

        emit_json({**msgspec.to_builtins(state), "looks": looks})
        return
    say(f"Running: {state.running}")
    if state.checked_ms is not None:
        at = datetime.datetime.fromtimestamp(state.checked_ms / 1000, datetime.UTC)
        say(f"Last look for updates: {at:%Y-%m-%d %H:%M} UTC")
    if state.trouble is not None:
        trouble = TROUBLES[state.trouble.value]
        click.echo(f"{in_words('A later look failed:')} {in_words(trouble.message)}")
        click.echo(f"  {in_words(trouble.remedy)}")
    if state.outcome is not None and state.outcome.result.value == "interrupted" and _is_at_work():
        say(f"{state.outcome.version} is being installed now.")
    elif state.outcome is not None:
        say(_OUTCOMES[state.outcome.result.value].format(version=state.outcome.version))
    if state.offer is None and not looks:
        say(_NO_SOURCE)
        say("Add it, then run:  sudo doorward apply")
    elif state.offer is None:
        say("No update is on offer.")
    else:
        _say_described(state.offer)
        say("To install it:  sudo doorward update install")


def _say_described(offer: Offer) -> None:
    """Prints what is on offer, and its notes in the reader's language if its makers wrote them so."""
    kind = in_words("Security update" if offer.security else "Update")
    say(f"{kind} {offer.version} of {offer.released} is ready: {offer.length / 1e6:.0f} MB.")
    notes = (offer.notes.get(spoken()) or offer.notes.get(ENGLISH, "")).strip()
    if notes:
        click.echo(notes)


def _as_root() -> None:
    from agent.errors import ConfigurationError

    if os.geteuid() != 0:
        raise ConfigurationError("Only root may do this.", remedy=f"sudo {' '.join(['doorward', *sys.argv[1:]])}")

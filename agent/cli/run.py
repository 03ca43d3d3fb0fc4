"""`doorward run`: one role, or all of them in one process, until told to stop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.frame import config_option, without_rich
from agent.platform.stop_signals import StopSignals
from firmware_bridge.time_zone import use_time_zone

if TYPE_CHECKING:
    from agent.config import Configuration
    from agent.platform.supervision import SystemdNotifier
    from agent.recorder.recorder_process import RecorderRole
    from agent.solo import Solo

__all__ = ["run"]

_RUNTIME_DIR = Path("/run/doorward")
_STATE_DIR = Path("/var/lib/doorward")
_RETRY_EXIT_STATUS = 75
"""EX_TEMPFAIL, sysexits(3): this process cannot recover the camera, so the supervisor must start another."""


@click.command()
@config_option
@click.option(
    "--role",
    type=click.Choice(["solo", "recorder", "custodian", "uplink"]),
    default="solo",
    show_default=True,
    help="The part to run.  'solo' runs all parts in one process.",
)
@click.option(
    "--runtime-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=_RUNTIME_DIR,
    show_default=True,
    help="The folder of the roles' sockets.",
)
@click.option(
    "--outbox",
    type=click.Path(path_type=Path, file_okay=False),
    default=_STATE_DIR / "outbox",
    show_default=True,
    help="For the uplink, which reads no configuration: the outbox folder.",
)
def run(config: Path, role: str, runtime_dir: Path, outbox: Path) -> None:
    """Watch, record, and answer the owner, until Ctrl-C or SIGTERM.

    At the end it finishes and keeps all open files.  After footage from a file has ended, it continues to answer. An
    installation runs the roles apart, each as a separate user in a sandbox: see systemd/ and docs/security/analysis.md.
    """
    roles: dict[str, Callable[[], None]] = {
        "solo": lambda: _solo(config),
        "recorder": lambda: _recorder(config, runtime_dir),
        "custodian": lambda: _custodian(config, runtime_dir),
        "uplink": lambda: _uplink(outbox, runtime_dir),
    }
    without_rich()
    roles[role]()


def _set_up(configuration: Configuration) -> None:
    """Begins the log, and sets the time zone by which private and quiet hours count."""
    import structlog

    from agent.platform import logs

    logs.set_up(configuration.log)
    zone = configuration.device.time_zone
    if not use_time_zone(zone):
        structlog.get_logger("run").error("time_zone_unknown", zone=zone)


def _solo(config: Path) -> None:
    from agent.config import load
    from agent.solo import Solo

    configuration = load(config)
    _set_up(configuration)
    solo = Solo(configuration, configuration_file=config)
    with _EndOfRole(solo.stop, solo.give_up) as stopping:
        solo.start()
        stopping.when_asked()
        _record(solo)
    _end_recording(solo)


def _recorder(config: Path, runtime_dir: Path) -> None:
    from agent.config import load
    from agent.ipc.peers import uids_of
    from agent.ipc.rpc_client import RpcClient
    from agent.recorder.recorder_process import RecorderRole

    configuration = load(config)
    _set_up(configuration)
    path, users = runtime_dir / "recorder" / "custodian.sock", uids_of("doorward-custodian")
    custodian, reports, live, talk = (RpcClient(path, users) for _ in range(4))
    role: RecorderRole | None = None

    def give_up() -> None:
        custodian.close()
        if role is not None:
            role.give_up()

    # Before it has started it may wait for a custodian, or read a long manifest: SIGTERM must end that.
    with _EndOfRole(lambda: role.stop() if role else None, give_up) as stopping:
        role = RecorderRole(configuration, custodian, reports, _supervision(), live, talk, configuration_file=config)
        role.start()
        stopping.when_asked()
        _record(role)
    _end_recording(role)


def _record(recording: Solo | RecorderRole) -> None:
    """Records until the camera ends. If it was not stopped and no restart is wanted, the rest goes on without it."""
    from agent.ports import CameraEnd

    # A film from a file ends. Owners must still be able to look at what it recorded.
    if recording.record() is not CameraEnd.STOPPED and recording.recorder.wanted is None:
        recording.wait()


def _end_recording(recording: Solo | RecorderRole) -> None:
    recording.close()
    if recording.recorder.wanted is not None:
        sys.exit(_RETRY_EXIT_STATUS)


def _custodian(config: Path, runtime_dir: Path) -> None:
    from agent.config import load
    from agent.custodian.custodian_process import CustodianRole

    configuration = load(config)
    _set_up(configuration)
    role = CustodianRole(configuration, runtime_dir, _supervision())
    with _EndOfRole(role.stop) as stopping:
        role.start()
        stopping.when_asked()
        role.wait()
    role.close()


def _uplink(outbox: Path, runtime_dir: Path) -> None:
    from agent.config.settings import LogConfig
    from agent.ipc.peers import uids_of
    from agent.ipc.rpc_client import LONG_SILENCE_S, RpcClient
    from agent.platform import logs
    from agent.uplink.uplink_process import UplinkRole

    # Without the configuration, which holds the place of the door. The custodian tells the uplink what it needs.
    logs.set_up(LogConfig())
    path, users = runtime_dir / "uplink" / "custodian.sock", uids_of("doorward-custodian")
    custodian = RpcClient(path, users)
    news, messages, home, frames = (RpcClient(path, users, silence_s=LONG_SILENCE_S) for _ in range(4))
    role: UplinkRole | None = None
    with _EndOfRole(lambda: role.stop() if role else None, custodian.close) as stopping:
        role = UplinkRole(outbox, custodian, news, messages, home, frames, _supervision())
        role.start()
        stopping.when_asked()
        role.run()
    role.close()


def _supervision() -> SystemdNotifier:
    from agent.platform.supervision import SystemdNotifier

    return SystemdNotifier()


class _EndOfRole:
    """Inside this block, SIGINT and SIGTERM call `stop` in a separate thread. Leaving the block also calls it.

    Start the role inside this block. If start-up fails half-way, leaving the block stops the threads that already run,
    and the supervisor can restart the process. Before `when_asked`, a signal calls `give_up`, which ends the waits of
    the start-up. `stop` waits for the start-up to end, because a thread that starts later would keep the process alive.
    After the block the role closes its files, and no signal interrupts that.
    """

    def __init__(self, stop: Callable[[], None], give_up: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._give_up = give_up
        self._started = threading.Event()
        self._signals = StopSignals(self._end)

    def __enter__(self) -> _EndOfRole:
        self._signals.__enter__()
        return self

    def __exit__(self, *_cause: object) -> None:
        self.when_asked()
        self._signals.finish()

    def when_asked(self) -> None:
        """Marks the end of the start-up, successful or not. From now on a signal stops the role."""
        self._started.set()

    def _end(self) -> None:
        if not self._started.is_set():
            self._give_up()
            self._started.wait()
        self._stop()

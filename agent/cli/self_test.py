"""`doorward self-test`: a small run in a temporary folder: record, seal, sign, verify.

The installer runs it before it switches to a version. It works without camera, network and state. With --camera it only
opens the configured camera. To test opening, run `doorward owner drill` on the machine with the keys.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from pathlib import Path

import click

from agent.cli import words
from agent.cli.frame import config_option
from agent.cli.language import counted, in_words, say

__all__ = ["self_test"]

_CONFIGURATION = """\
[device]
name = "self-test"
state_dir = "{state}"
[camera]
kind = "scripted"
size = [320, 240]
fps = 10
realtime = false
[log]
level = "error"
"""


@click.command("self-test")
@click.option("--camera", "configured", is_flag=True, help="Open the configured camera instead.")
@click.option(
    "--opened", is_flag=True, hidden=True, help="Do not ask a running doorbell: the installer stopped its recorder."
)
@config_option
def self_test(configured: bool, opened: bool, config: Path) -> None:
    """Record a drawn scene, seal it, and verify the vault.  Takes seconds.

    With --camera, check that the configured camera delivers pictures; a running doorbell is asked instead.  Exit status
    0 if it does, otherwise 1.
    """
    if configured:
        _try_camera(config, asks=not opened)
        return
    with tempfile.TemporaryDirectory(prefix="doorward-self-test-") as folder:
        segments = _run(Path(folder))
    say(f"{counted(segments, 'segment')} recorded, sealed, signed and verified.")


def _try_camera(config: Path, *, asks: bool) -> None:
    """`asks`: a running doorbell. It knows the last report of a recorder that was stopped for another 20 s."""
    from agent.cli.checks.camera import check_camera
    from agent.cli.checks.finding import CheckStatus
    from agent.cli.checks.running import camera_in_use, status_here
    from agent.config import load

    configuration = load(config)
    in_use = camera_in_use(status_here(configuration), configuration) if asks else None
    failed = False
    for finding in [in_use] if in_use else list(check_camera(configuration.camera)):
        failed |= finding.health is CheckStatus.BAD
        say(
            finding.message
            if finding.health is CheckStatus.FINE
            else f"{in_words('The camera:')} {in_words(words.plain(finding.message))}"
        )
        if finding.remedy:
            click.echo(f"  {in_words('What to do:')} {in_words(words.plain(finding.remedy))}")
    if failed:
        raise click.exceptions.Exit(1)


def _run(folder: Path) -> int:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from agent.config import load
    from agent.core.vault.age.recipients import X25519Recipient
    from agent.custodian.state_folder import StateFolder
    from agent.errors import InternalError
    from agent.platform import logs
    from agent.recorder.capture.camera_scripted import ScriptedCamera
    from agent.solo import Solo
    from agent.wire.identities import private_key_from_seed

    path = folder / "doorward.toml"
    path.write_text(_CONFIGURATION.format(state=folder / "state"))
    configuration = load(path)
    logs.set_up(configuration.log)
    state = StateFolder(configuration.device.state_dir)
    state.initialise(private_key_from_seed(secrets.token_bytes(32)))
    solo = Solo(configuration, open_camera=lambda: ScriptedCamera(duration_s=16.0, size_px=(320, 240)))
    solo.start()
    try:
        # The private half is dropped here, so the footage of the drawn scene can never be opened.
        solo.vault.seal_to((X25519Recipient(X25519PrivateKey.generate().public_key().public_bytes_raw()),), 1)
        solo.recorder.run()
        report = solo.vault.verify(solo.device)
        segments = solo.vault.totals().segments
    finally:
        # `Solo.stop` must run on another thread than `recorder.run` did.
        stopper = threading.Thread(target=solo.stop, name="stop")
        stopper.start()
        stopper.join()
        solo.close()
    if not segments or not report.sound:
        raise InternalError("The self-test recorded no valid footage.", remedy="Run 'doorward doctor'.")
    return segments

"""`doorward init`, `status` and `requests`: the device's own commands."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.cli.frame import config_option, emit_json, json_option
from agent.cli.language import counted, in_words, measured, say
from agent.cli.words import duration
from agent.config import load
from agent.ipc.control_operations import GetStatus, ListRequests
from agent.wire.text import clean

__all__ = ["init", "requests", "status"]


@click.command()
@config_option
@json_option
def init(config: Path, as_json: bool) -> None:
    """Make this machine a device: its state directory and its signing key.

    The key signs the device's records and opens no footage. The device starts to record after an owner has enrolled.
    """
    from agent.custodian.state_folder import StateFolder
    from agent.wire.identities import private_key_from_seed, public_key_of

    folder = StateFolder(load(config).device.state_dir)
    key = private_key_from_seed(secrets.token_bytes(32))
    folder.initialise(key)
    device = public_key_of(key)
    if as_json:
        emit_json({"device": device.text, "device_id": device.id, "state_dir": folder.root})
        return
    say(f"This is now the device {device.id}; its state is in {folder.root}.")
    say("\nNext:")
    start = "sudo systemctl start doorward.target" if folder.divided else "doorward run"
    click.echo(f"  {start:44}  {in_words('start it; it waits for an owner')}")
    click.echo(f"  {'doorward owner keygen':44}  {in_words('make your keys, on your own computer')}")
    click.echo(f"  doorward owner enrol --device {folder.control}")


@click.command()
@config_option
@click.option("--watch", is_flag=True, help="Show live figures until Ctrl-C.")
@json_option
def status(config: Path, watch: bool, as_json: bool) -> None:
    """Show what the running device is doing: camera, vault, link, and what waits for the owner."""
    if watch:
        from agent.cli import status_watch

        status_watch.watch(lambda: _ask(config)[0])
        return
    answer, waiting = _ask(config)
    if as_json:
        emit_json({**answer, "requests_waiting": len(waiting["requests"])})
        return
    recorder, link = answer["recorder"], answer["link"]
    rows = [
        ("device", f"{answer['device']} ({answer['device_id']})"),
        (
            "owners",
            ", ".join(answer["owners"]) or in_words("none yet, so it does not record.  Run doorward owner enrol"),
        ),
        ("camera", _camera_words(answer)),
        *([("sound", in_words(sound))] if (sound := str(recorder.get("sound", "off"))) != "off" else []),
        *([("speaker", in_words(speaker))] if (speaker := str(recorder.get("speaker", "off"))) != "off" else []),
        (
            "motion",
            f"{counted(recorder['events'], 'event')}, {counted(recorder['frames'], 'frame')}, "
            + in_words(f"{recorder['analysis_ms_per_frame']:.2f} ms each")
            + f"{_in_brackets(str(recorder.get('motion_passes') or ''), before=' ')}, "
            + in_words(f"{recorder['frames_dropped']} dropped"),
        ),
        (
            "vault",
            f"{counted(answer['vault']['segments'], 'segment')}, "
            f"{measured(answer['vault']['stored_bytes'] / 1e6, 1, 'MB')}, {in_words('all sealed')}",
        ),
        *_care_rows(answer),
        *([("panel", _panel_words(answer["panel"]))] if answer.get("panel") else []),
        ("clock", _clock_words(answer)),
        *_program_rows(answer),
        *([("page", click.style(in_words(fault), fg="red"))] if (fault := str(answer.get("page_fault") or "")) else []),
        ("link", " ".join(filter(None, (in_words(link["link"]), in_words(link["remedy"] or ""))))),
        *_relay_rows(link),
        (
            "requests",
            in_words(f"{len(waiting['requests'])} waiting for you" if waiting["requests"] else "none waiting"),
        ),
    ]
    width = max(len(in_words(name)) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{click.style(in_words(name).rjust(width), bold=True)}  {text}")


def _camera_words(answer: dict[str, Any]) -> str:
    """Without an owner the camera is not opened, so its absence is no fault."""
    state, detail = answer["recorder"]["state"], answer["recorder"]["detail"] or ""
    if state == "no camera" and not answer["owners"]:
        return in_words("waits for an owner")
    return " ".join(filter(None, (in_words(state), _in_brackets(in_words(detail)))))


def _program_rows(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the row on a program that was changed since it was installed; none if it is as it was."""
    program = answer.get("program")
    if not program:
        return []
    words = in_words(f"{counted(program['changed'], 'file')} changed since the installation")
    names = ", ".join(clean(name) for name in program["files"][:5])
    return [("program", f"{click.style(words, fg='red')}: {names}" if names else click.style(words, fg="red"))]


def _relay_rows(link: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the row on the relay of the owners' link; none without a relay."""
    relay = link.get("relay")
    return [("relay", " ".join(filter(None, map(in_words, (relay, link["relay_remedy"] or "")))))] if relay else []


def _in_brackets(text: str, before: str = "") -> str:
    return f"{before}({text})" if text else ""


def _clock_words(answer: dict[str, Any]) -> str:
    jump = answer.get("clock_jump")
    if not jump:
        return in_words(str(answer["clock"]))
    size, left = duration(abs(jump["ahead_s"]) * 1000), duration(jump["confirmed_in_s"] * 1000)
    return in_words(
        (
            f"not confirmed: {size} ahead of the expected time. "
            if jump["ahead_s"] > 0
            else f"not confirmed: {size} behind the expected time. "
        )
        + f"Nothing expires or goes by age until it has stood for another {left}, or an owner signs anything at that "
        "time."
    )


@click.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="Also list finished requests.")
@json_option
def requests(config: Path, everything: bool, as_json: bool) -> None:
    """List footage requests: the requester, the time window and the state of each.

    Names come from the trust bundle.  The text of a request is sealed to the owners; to read it, use doorward owner
    review.  Requests over a limit are blocked. They are counted here and never shown to you.
    """
    from agent.ipc.control_client import DeviceLink

    with DeviceLink(_socket(config)) as link:
        answer = link.document(ListRequests(everything))
    if as_json:
        emit_json(answer)
        return
    if not answer["requests"]:
        say("No request has arrived so far." if everything else "No request is waiting for you.")
    for request in answer["requests"]:
        click.echo(f"{request['id']}  {click.style(in_words(request['state']), bold=True)}")
        match = in_words(f"{counted(request['segments'], 'segment')} match")
        if None in (request.get("kind"), request.get("from"), request.get("to")):
            received = in_words(f"received {_time(request['received_ms'] // 1000)} UTC")
            click.echo(f"    {request['requester_name']}, {received}")
            continue
        kind, incident = in_words(request["kind"]), in_words(request.get("incident") or "")
        click.echo(f"    {request['requester_name']} ({kind}), {incident}")
        click.echo(f"    {_time(request['from'])} – {_time(request['to'])} UTC, {match}")
    if answer["blocked"]:
        say(f"\nBlocked automatically: {len(answer['blocked'])}")
        for blocked in answer["blocked"][:10]:
            click.echo(f"    {blocked['requester']}: {in_words(blocked['reason'])}")
    without_effect = ", ".join(f"{count} {in_words(name)}" for name, count in answer["counters"].items())
    if without_effect:
        say(f"\nMessages without effect: {without_effect}.")


def _care_rows(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the data that waits in memory, the bytes written to the card, and the results of the integrity check."""
    recorder, rows = answer["recorder"], []
    if recorder["state"] == "not recording" and recorder.get("in_memory_s"):
        kept = f"the newest {recorder['in_memory_s']:.0f} s ({recorder.get('in_memory_bytes', 0) / 1e6:.1f} MB)"
        rows.append(("memory", in_words(f"{kept} wait for the disk")))
    rows += _object_detection_rows(recorder)
    wear = recorder.get("wear")
    if wear and wear["bytes_per_recorded_hour"]:
        rows.append(("wear", in_words(f"{wear['bytes_per_recorded_hour'] / 1e6:.0f} MB written per recorded hour")))
    scrub = recorder.get("scrub")
    if scrub and scrub["damaged"]:
        damaged = click.style(in_words(f"damage in {counted(len(scrub['damaged']), 'place')}"), fg="red")
        rows.append(("scrub", f"{damaged}: doorward vault verify"))
    elif scrub and (scrub["segments"] or scrub["fault"]):
        read = f"{counted(scrub['segments'], 'segment')} read again, {scrub['read_bytes'] / 1e6:.1f} MB, no damage"
        rows.append(("scrub", in_words(scrub["fault"] or read)))
    unreadable = recorder.get("unreadable")
    if unreadable:
        lost = click.style(in_words(f"{counted(len(unreadable), 'file')} without a record"), fg="red")
        names = ", ".join(map(str, unreadable))
        rows.append(("unreadable", f"{lost}: {names}.  {in_words('The card may be failing.')}"))
    return rows


def _object_detection_rows(recorder: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the rows on object detection; none if it is off."""
    detection = recorder.get("object_detection") or {}
    rows = {
        "running": f"{counted(detection.get('inferences', 0), 'inference')}, "
        + in_words(f"{detection.get('ms_per_inference', 0):.0f} ms each"),
        "paused": in_words("paused, because the board is too warm or its supply too weak"),
        "failed": click.style(in_words(str(detection.get("detail"))), fg="red"),
    }
    words = rows.get(str(detection.get("state", "off")))
    if words is None:
        return []
    return [("detection", words)]


def _panel_words(panel: dict[str, Any]) -> str:
    """For example, `simulated on other, privacy on; 61 °C, throttling level 1; the supply is weak`."""
    if not panel["connected"]:
        return f"{in_words('away:')} {in_words(panel.get('detail', 'no answer yet'))}"
    health = panel.get("health", {})
    words = [f"{panel.get('backend')}, {panel.get('board')}"]
    words += ["privacy switch on"] if panel.get("privacy") else []
    words += ["case open"] if panel.get("open") else []
    words += [f"{health['temperature_c']:.0f} °C"] if health.get("temperature_c") is not None else []
    words += [f"throttling level {health['throttle_level']}"] if health.get("throttle_level") else []
    words += ["the supply is too weak"] if health.get("under_voltage") else []
    words += ["throttled"] if health.get("throttled") else []
    words += [f"Wi-Fi {health['wifi_dbm']} dBm"] if health.get("wifi_dbm") is not None else []
    return ", ".join(map(in_words, words))


def _ask(config: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from agent.ipc.control_client import DeviceLink

    with DeviceLink(_socket(config)) as link:
        return link.document(GetStatus()), link.document(ListRequests())


def _socket(config: Path) -> Path:
    from agent.custodian.state_folder import StateFolder

    return StateFolder(load(config).device.state_dir).control


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")

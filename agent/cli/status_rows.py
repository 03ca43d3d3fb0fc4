"""The rows of `doorward status` and `doorward owner status`: a doorbell's report, in the reader's language."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.language import counted, in_words, measured
from agent.cli.words import duration
from agent.wire.fields import clean_text

__all__ = ["show_rows", "status_rows"]


def status_rows(answer: dict[str, Any], waiting: int) -> list[tuple[str, str]]:
    """Returns name and text of each row, the name in English. `answer`: that of `GetStatus`. `waiting`: requests that
    wait for an owner.

    Raises `LookupError`, `TypeError` or `ValueError` for a report of another version.
    """
    recorder, link = answer["recorder"], answer["link"]
    return [
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
            in_words(f"{waiting} waiting for you" if waiting else "none waiting"),
        ),
    ]


def show_rows(rows: list[tuple[str, str]]) -> None:
    """Prints the rows, their names right-aligned."""
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
    names = ", ".join(clean_text(name) for name in program["files"][:5])
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

"""The contract of every speaker. ALSA is the real libasound, on a card made of its `file` and `null` plugins."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.errors import DeviceError, InternalError
from agent.ports import Speaker
from agent.recorder.playback.speaker_alsa import AlsaSpeaker
from agent.recorder.playback.speaker_file import FileSpeaker

CARD = """\
pcm.null {{ type null }}
pcm.doorward {{ type file slave.pcm "null" file "{tape}" format "raw" }}
pcm.stereo {{ type file slave {{ pcm {{ type plug slave {{ pcm "null" channels 2 }} }} }} file "{tape}" format "raw" }}
"""
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype("<i2")


def alsa(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Speaker, Callable[[], bytes]]:
    tape, configuration = folder / "tape.raw", folder / "asound.conf"
    configuration.write_text(CARD.format(tape=tape))
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(configuration))
    return AlsaSpeaker("doorward"), tape.read_bytes


def file(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> tuple[Speaker, Callable[[], bytes]]:
    path = folder / "heard.wav"

    def written() -> bytes:
        with wave.open(str(path)) as found:
            assert (found.getframerate(), found.getnchannels(), found.getsampwidth()) == (48_000, 1, 2)
            return found.readframes(found.getnframes())

    return FileSpeaker(path), written


@pytest.mark.parametrize("make", [alsa, file])
def test_every_sample_is_played_in_order(
    make: Callable[..., tuple[Speaker, Callable[[], bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker, written = make(tmp_path, monkeypatch)
    with pytest.raises(InternalError):
        speaker.play(bytes(2))
    speaker.open()
    for begin in range(0, len(TONE), 960):
        speaker.play(TONE[begin : begin + 960].tobytes())
    speaker.close()
    speaker.close()
    assert written() == TONE.tobytes()


def test_a_file_is_continued_at_each_opening(tmp_path: Path) -> None:
    speaker, written = file(tmp_path, pytest.MonkeyPatch())
    for part in (TONE[:100], TONE[100:200]):
        speaker.open()
        speaker.play(part.tobytes())
        speaker.close()
    assert written() == TONE[:200].tobytes()


def test_a_card_that_is_missing_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alsa(tmp_path, monkeypatch)
    with pytest.raises(DeviceError, match="'nosuch' cannot be opened") as caught:
        AlsaSpeaker("nosuch").open()
    assert caught.value.remedy


def test_a_file_that_cannot_be_written_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be written") as caught:
        FileSpeaker(tmp_path / "missing" / "heard.wav").open()
    assert caught.value.remedy

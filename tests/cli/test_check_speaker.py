"""`doorward doctor` plays two notes on the configured speaker, and says what is wrong with one that is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.cli.checks.finding import CheckStatus
from agent.cli.checks.speaker import check_speaker
from agent.config.settings import SpeakerConfig, SpeakerKind
from agent.recorder.playback.sounds import attention
from tests.talkers import heard


def test_two_notes_are_played_as_loud_as_configured(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    finding = check_speaker(SpeakerConfig(kind=SpeakerKind.FILE, path=path, volume=100), {})
    assert finding.health is CheckStatus.FINE
    assert np.array_equal(heard(path), attention())


def test_a_missing_speaker_is_told_with_its_remedy(tmp_path: Path) -> None:
    for settings in (SpeakerConfig(device="nosuch"), SpeakerConfig(kind=SpeakerKind.FILE, path=tmp_path / "no" / "a")):
        finding = check_speaker(settings, {})
        assert finding.health is CheckStatus.BAD
        assert finding.remedy


def test_a_conversation_is_not_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    settings = SpeakerConfig(kind=SpeakerKind.FILE, path=path)
    finding = check_speaker(settings, {"recorder": {"speaker": "talking"}})
    assert finding.health is CheckStatus.FINE
    assert not path.exists()

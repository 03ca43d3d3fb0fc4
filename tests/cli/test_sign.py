"""A sign for the door says what the configuration says, in each language, and keeps the household's words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from agent.cli import sign as module
from agent.config import Configuration
from agent.config.settings import (
    ClipsConfig,
    MotionConfig,
    ObjectDetectionConfig,
    ObjectDetectionUse,
    SoundConfig,
    ZoneConfig,
)
from agent.core.languages import ENGLISH, LANGUAGES
from agent.sentences import in_language
from agent.wire.fields import ZoneKind
from agent.wire.statements import Settings
from tests.custodians import stated

OTHERS = sorted(LANGUAGES.keys() - {ENGLISH})
TEMPLATE = Path(module.__file__).parents[1] / "web" / "templates" / "sign.html"
MASK = ZoneConfig(name="window", kind=ZoneKind.PRIVACY, corners=((0.1, 0.1), (0.2, 0.1), (0.2, 0.2)))
EVERY_SIGN = [
    Configuration(
        sound=sound,
        clips=ClipsConfig(continuous=continuous),
        motion=MotionConfig(zones=zones),
        object_detection=ObjectDetectionConfig(use=use),
    )
    for sound, continuous, zones, use in itertools.product(
        (None, SoundConfig()), (False, True), ((), (MASK,)), (ObjectDetectionUse.OFF, ObjectDetectionUse.AUTO)
    )
]


def words_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)).split())


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_of_every_sign_is_said_in_the_language(language: str) -> None:
    fixed = re.findall(r"say\('([^']+)'\)", TEMPLATE.read_text(encoding="utf-8"))
    assert len(fixed) >= 7
    sentences = {*fixed, *module._PURPOSES, *(fact for each in EVERY_SIGN for fact in module._facts(each))}
    assert [each for each in sentences if in_language(each, language) == each] == []


def test_a_sign_says_what_is_in_force_and_one_sheet_speaks_each_language(
    tmp_path: Path, tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text("[sound]\n[vault]\nmax_age_days = 30\n")
    owners = Settings(**stated())
    monkeypatch.setattr(module, "owners_settings", lambda _file: (True, owners))
    monkeypatch.setattr(module, "effective", lambda file, settings: file if settings is owners else None)
    out = tmp_path / "sign.html"
    asked = (
        "--ask",
        "Ana <ana@example.org>",
        "--purpose",
        "Pakketten & bezoek",
        "--more",
        "https://example.org/camera",
    )
    done = tool("sign", "--config", config, *asked, "--language", "de", "--language", "ar", out)
    assert done.status == 0, done.err
    html = out.read_text(encoding="utf-8")
    words = words_of(html)
    assert "Diese Türklingel nimmt Video und Ton auf" in words
    assert "Längste Speicherdauer in Tagen: 30." in words
    assert "كاميرا عند هذا الباب" in words
    assert words.count("Ana <ana@example.org>") == words.count("Pakketten & bezoek") == 2
    assert "<ana@example.org>" not in html, "the household's words are text and not markup"
    assert re.findall(r'<section lang="(..)" dir="(...)">', html) == [("de", "ltr"), ("ar", "rtl")]
    assert html.count('class="qr"') == 2
    assert "size: 105mm 148mm" in html


def test_without_a_running_doorbell_the_sign_follows_the_file_and_says_so(
    tmp_path: Path, tool: Callable[..., Any]
) -> None:
    config = tmp_path / "doorward.toml"
    config.write_text(f'[device]\nstate_dir = "{tmp_path}/state"\n[clips]\ncontinuous = true\n')
    out = tmp_path / "sign.html"
    done = tool("sign", "--config", config, "--ask", "Ana", "--size", "a5", out)
    assert (done.status, "follows the configuration file alone" in done.err) == (0, True)
    html = out.read_text(encoding="utf-8")
    assert "This doorbell records video all the time." in html
    assert "size: 148mm 210mm" in html
    assert "To see who is at the door" in html
    assert 'class="qr"' not in html

"""The films that ONVIF's own implementation has accepted are those that this code writes.

`python -m tests.interop.onvif` calls that implementation (ONVIF.md has its last answers). If a film changes, its result
is that of another film, and this test fails until the command has run again.
"""

from __future__ import annotations

import json

import pytest

from agent.core.media import VideoCodec
from tests.capture_films import ROOT, VECTORS, signed_film
from tests.interop.onvif import RESULT, camera_films_sha256, films_sha256

FOUND = json.loads(RESULT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("codec", list(VideoCodec))
@pytest.mark.parametrize("b_frames", [0, 2])
def test_the_films_in_the_vectors_are_what_this_code_signs(codec: VideoCodec, b_frames: int) -> None:
    name = codec.value + ("-b" if b_frames else "")
    films = tuple((VECTORS / f"{name}-{number}.mp4").read_bytes() for number in range(3))
    assert signed_film(codec, b_frames=b_frames).segments == films
    assert (VECTORS / "root.pem").read_bytes() == ROOT


def test_these_films_are_the_ones_that_onvif_s_implementation_has_seen() -> None:
    assert films_sha256() == FOUND["films_sha256"], "python -m tests.interop.onvif FOLDER"


def test_it_found_a_film_that_its_camera_signed_authentic_up_to_its_last_gop_and_by_no_other_root() -> None:
    assert camera_films_sha256() == FOUND["camera_films_sha256"], "python -m tests.interop.onvif FOLDER"
    *films, (_, foreign) = FOUND["camera_films"]
    assert len(films) == 4
    for name, said in films:
        assert said == f"ok; key ok; {'5 of 10' if 'alone' in name else '15 of 20'} pictures", name
    assert "key not ok" in foreign


def test_it_found_each_film_authentic_and_each_manipulation_was_noticed_by_it_or_by_us() -> None:
    whole = [said for film, said in FOUND["films"] if "without" not in film and "another" not in film]
    assert len(whole) == 20
    for said in whole:
        result, key, pictures = said.split("; ")
        validated, received = (int(word) for word in pictures.split() if word.isdigit())
        assert (result, key, validated) == ("ok", "key ok", received)
    program = dict(FOUND["program"])
    assert len(program) == 16
    for film, said in program.items():
        if "Matroska" in film or "0 B-frames" in film:
            pictures = "10 of 10" if "alone" in film else "30 of 30"
            assert said == f"public key is valid; video is valid; {pictures} pictures", film
    others = dict(FOUND["films"])
    assert others["h264: without the messages"].startswith("not signed")
    assert "key not ok" in others["h264: another doorbell's root"]
    assert all(ours == bits for bits, ours, _, _ in FOUND["flips"].values())

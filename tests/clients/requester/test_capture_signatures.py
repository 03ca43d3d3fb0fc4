"""A requester learns what the signatures inside a film show, and gets the certificate that a validator must trust."""

from __future__ import annotations

import pytest

from agent.clients.requester.capture_signatures import (
    camera_signature_of,
    capture_in_words,
    capture_of,
    trusted_root,
)
from agent.core.media import VideoCodec
from agent.media.fmp4 import film_units, whole_fragments
from agent.wire.identities import public_key_of
from tests import signing_camera
from tests.capture_films import DEVICE, ROOT, STRANGER_KEY, signed_film

FILM = signed_film().segments[1]


@pytest.mark.parametrize("codec", list(VideoCodec))
def test_a_film_of_this_doorbell_is_whole_and_its_root_is_the_doorbells(codec: VideoCodec) -> None:
    found = capture_of(signed_film(codec).segments[1], DEVICE)
    assert found is not None
    assert (found.is_whole, found.signed) == (True, 2)
    assert trusted_root([None, found], DEVICE) == ROOT
    assert trusted_root([None], DEVICE) is None


def test_a_film_that_a_power_failure_cut_is_proven_to_its_last_whole_gop() -> None:
    cut = capture_of(whole_fragments(FILM[:-100]), DEVICE)
    assert cut is not None
    assert (cut.is_whole, cut.signed) == (True, 1)


def test_another_doorbells_film_a_damaged_one_and_one_without_messages_prove_nothing() -> None:
    other = capture_of(FILM, public_key_of(STRANGER_KEY))
    assert other is not None
    assert (other.signed, other.is_whole, trusted_root([other], public_key_of(STRANGER_KEY))) == (0, False, None)
    for film in (b"", FILM[:-100], b"not a film", FILM.replace(bytes.fromhex("005bc93f2d71"), bytes(6))):
        assert capture_of(film, DEVICE) is None


def test_the_words_count_the_films_and_name_each_fault_once() -> None:
    whole = capture_of(FILM, DEVICE)
    changed = capture_of(FILM.replace(FILM[-900:-890], bytes(10)), DEVICE)
    begun = (
        "of 1 films as recorded also hold capture signatures (ONVIF Media Signing) by this device for every picture."
    )
    assert capture_in_words([], 0) == capture_in_words([None], 1) == ""
    assert capture_in_words([whole], 0) == f"1 {begun}"
    assert capture_in_words([whole], 1) == f"1 {begun} A redacted film holds none, because it was encoded again."
    assert capture_in_words([changed], 0) == (
        f"0 {begun} In 1 of them a GOP is not proven by these: a picture was changed, removed or added."
    )
    assert capture_in_words([whole, None], 0).endswith("picture. 1 hold none.")


def test_a_film_that_its_camera_signed_names_the_camera_and_shows_whether_its_key_signed_the_pictures() -> None:
    films = [camera_signature_of(each, DEVICE) for each in signing_camera.recorded_segments()]
    assert len(films) == 2
    for each in films:
        assert each is not None
        assert (each.name, each.serial, each.chain) == ("Lynx Cameras", "LC-0042", signing_camera.CHAIN)
        assert each.report is not None
        assert (each.report.signed, each.report.unsigned, each.report.findings) == (1, 5, ())
    assert films[0] is not None
    sha256 = films[0].sha256
    assert capture_in_words([None, None, None], 0, films) == (
        "2 of 3 films as recorded hold capture signatures (ONVIF Media Signing) by the camera, and none by this "
        'device. The camera calls itself "Lynx Cameras", serial number "LC-0042". Its certificate has the SHA-256 '
        f"{sha256}. Only the camera's maker can tell whether this name is true: get the maker's root certificate from "
        "the maker. In 2 of them, this certificate's key signed the pictures before each signature."
    )


def test_a_changed_picture_of_a_film_that_its_camera_signed_is_named() -> None:
    film = signing_camera.recorded_segments()[0]
    picture = next(unit for unit in film_units(film) if unit[0] & 0x1F == 5)
    changed = camera_signature_of(film.replace(picture, picture[:-9] + bytes(8) + picture[-1:]), DEVICE)
    assert changed is not None
    assert "In 0 of them" in (said := capture_in_words([None], 0, [changed]))
    assert said.endswith("In 1 of them, a signature does not fit: a picture was changed, removed or added.")


def test_a_film_of_this_doorbell_is_not_taken_for_one_that_its_camera_signed() -> None:
    assert camera_signature_of(FILM, DEVICE) is None
    for film in (b"", FILM[:-100], FILM.replace(bytes.fromhex("005bc93f2d71"), bytes(6))):
        assert camera_signature_of(film, DEVICE) is None

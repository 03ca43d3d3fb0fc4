"""Settings change one by one. Earlier settings count only if an owner of this device signed them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from agent.clients.owner.device_settings import MATTER, change_settings, matter_of
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.errors import FormatError, OpenError
from agent.ipc.control_client import read_settings
from agent.wire import strictjson
from agent.wire.identities import private_key_from_seed
from agent.wire.statements import Hold, QuietHoursSetting, Settings, read_statement, sign_statement
from tests.clients.owner.conftest import NOW_MS, Home, now

QUIET = QuietHoursSetting(begins_minute=60, ends_minute=120)


def sign_as(home: Home, key: object, kind: type = Settings, **matter: object) -> None:
    """Put settings on the device that `key` signed."""
    made = kind(v=1, device=home.device.key.text, owner_time_ms=NOW_MS, nonce="0" * 32, **matter)
    data = sign_statement(kind.PAYLOAD_TYPE, strictjson.encode(made), key)  # type: ignore[attr-defined, arg-type]
    home.device.settings = data.decode()
    home.device.settings_sha256 = hashlib.sha256(read_statement(data).payload).hexdigest()


def stands(home: Home) -> dict[str, object]:
    found = read_settings(home.device)
    assert found is not None
    assert matter_of(None) == {}
    return matter_of(found)


def test_nothing_is_set_at_first(home: Home) -> None:
    assert read_settings(home.device) is None


def test_what_is_not_changed_stays_as_it_was(home: Home) -> None:
    change_settings(home.device, home.keys, {"name": "Front", "max_age_days": 7}, clock=now)
    change_settings(home.device, home.keys, {"quiet": QUIET}, clock=now)
    changed = change_settings(home.device, home.keys, {"max_age_days": 9}, clock=now)
    assert stands(home) == {"name": "Front", "max_age_days": 9, "quiet": QUIET}
    assert changed == stands(home)


def test_a_setting_that_is_none_is_as_the_configuration_says_again(home: Home) -> None:
    change_settings(home.device, home.keys, {"name": "Front", "max_age_days": 7}, clock=now)
    changed = change_settings(home.device, home.keys, {"name": None}, clock=now)
    assert changed == stands(home) == {"max_age_days": 7}


def test_each_change_follows_the_one_before(home: Home) -> None:
    change_settings(home.device, home.keys, {"name": "Front"}, clock=now)
    first = home.device.settings_sha256
    change_settings(home.device, home.keys, {"name": "Back"}, clock=now)
    assert [statement.previous for statement in home.device.statements[-2:]] == [None, first]


def test_settings_that_no_owner_signed_are_not_taken_over(home: Home) -> None:
    sign_as(home, private_key_from_seed(b"x" * 32), name="Front", max_age_days=1)
    before = len(home.device.statements)
    with pytest.raises(OpenError, match="no present or former owner signed"):
        change_settings(home.device, home.keys, {"name": "Back"}, clock=now)
    assert len(home.device.statements) == before


def test_setting_everything_needs_nothing_of_what_stood_before(home: Home) -> None:
    sign_as(home, private_key_from_seed(b"x" * 32), name="Front", max_age_days=1)
    everything = {**dict.fromkeys(MATTER), "name": "Back"}
    changed = change_settings(home.device, home.keys, everything, clock=now)
    assert changed == {"name": "Back"}
    assert stands(home) == {"name": "Back"}


def test_what_an_owner_set_who_has_left_stays_in_force(home: Home, make_owner: Callable[[str], OwnerKeys]) -> None:
    ben = make_owner("ben")
    enrol(home.device, home.keys, add=[ben.card], clock=now)
    enrol(home.device, ben, clock=now)
    change_settings(home.device, ben, {"name": "Front"}, clock=now)
    enrol(home.device, home.keys, remove=["ben"], clock=now)
    change_settings(home.device, home.keys, {"max_age_days": 7}, clock=now)
    assert stands(home) == {"name": "Front", "max_age_days": 7}


def test_a_statement_of_another_kind_is_no_settings(home: Home) -> None:
    sign_as(home, home.keys.approval, Hold, segments=home.segments[:1], until_s=NOW_MS // 1000 + 60)
    with pytest.raises(OpenError, match="no settings"):
        read_settings(home.device)
    with pytest.raises(FormatError, match="does not hold"):
        change_settings(home.device, home.keys, {"name": "Back"}, clock=now)

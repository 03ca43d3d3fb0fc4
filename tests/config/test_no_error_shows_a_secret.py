"""An error names the key of a secret and never its value."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config import Configuration, parse
from agent.config.fleet import Fleet, load_fleet
from agent.config.reading import shown
from agent.config.schema import configuration_schema
from agent.config.settings import SECRET
from agent.errors import ConfigurationError

CANARY = "s3cr3t-canary"
KEYS = {
    "camera.url": "[camera]\n{}",
    "camera.luma_url": "[camera]\n{}",
    "alerts.channels.url": "[[alerts.channels]]\nname = 'a'\n{}",
    "home_assistant.password": "[home_assistant]\nhost = 'a'\n{}",
    "remote.password": "[page]\n[remote]\nhost = 'a'\nurl = 'wss://a'\nca = 'c'\ncertificate = 'd'\nkey = 'k'\n{}",
}
WRONG = [
    f"'http://u:{CANARY}@h/x'",
    f"'{CANARY}'",
    f"'tgram://{CANARY} {CANARY}'",
    f"'''{CANARY}\n'''",
    f"'''rtsp://u:{CANARY}@h/\nx'''",
    f"['rtsp://u:{CANARY}@h/x']",
    f"{{ {CANARY.replace('-', '_')} = 1 }}",
    f"'{CANARY * 100}'",
    "31415926",
]


def _secrets(kind: Any, above: str = "", *, secret: bool = False) -> Iterator[str]:
    if typing.get_origin(kind) is typing.Annotated:
        secret = secret or any(getattr(meta, "extra", None) == SECRET for meta in kind.__metadata__)
        kind = typing.get_args(kind)[0]
    if secret and kind is str:
        yield above
    inner = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in (typing.Union, tuple):
        for each in inner:
            yield from _secrets(each, above, secret=secret)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, each in typing.get_type_hints(kind, include_extras=True).items():
            yield from _secrets(each, f"{above}.{name}".lstrip("."))


def test_every_key_that_sounds_like_a_secret_is_marked_as_one() -> None:
    assert sorted(_secrets(Configuration)) == sorted(KEYS)
    of_a_door = ["alerts.channels.url", "home_assistant.password"]
    assert sorted(_secrets(Fleet)) == sorted([*of_a_door, *(f"cameras.{key}" for key in [*of_a_door, "url"])])
    schema = json.loads(configuration_schema())["$defs"]
    names = {name for section in schema.values() for name in section.get("properties", {})}
    names.remove("password_file")  # the path of a file, whose content is never in the configuration
    assert {name for name in names if any(word in name for word in ("url", "password", "token", "secret"))} == {
        key.rpartition(".")[2] for key in KEYS
    }


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_value_of_a_secret_is_refused_and_not_repeated(key: str, value: str) -> None:
    text = KEYS[key].format(f"{key.rpartition('.')[2]} = {value}")
    try:
        parse(text, Path("/doorward.toml"))
    except ConfigurationError as error:
        said = str(error)
        assert key.rpartition(".")[2] in said
        if "{" not in value:  # there it is the name of a key, not the value of one
            assert CANARY[:6] not in said
        assert "31415926" not in said
    else:
        assert key.endswith(".password"), "text of any kind is a password"


@pytest.mark.parametrize(
    "text",
    [
        f"camera = 'rtsp://u:{CANARY}@h/x'",
        f"alerts = '{CANARY}'",
        f"[alerts]\nchannels = ['{CANARY}']",
        f"home_assistant = '{CANARY}'",
        f"[home_assistant]\nhost = 'mqtt://u:{CANARY}@h'",
        f"[home_assistant]\nhost = 'u:{CANARY}@h'",
        f"[camera]\nkind = 'rtsp://u:{CANARY}@h/x'",
        f"[alerts]\nlink = 'http://h/?token={CANARY}'",
        f"[camera]\nurl = 'rtsp://u:{CANARY}@h/x",
        f"[camera]\nurl = rtsp://u:{CANARY}@h/x",
        f"[camera]\nurl = 'rtsp://u:{CANARY}@h/x'\nurl = 'rtsp://u:{CANARY}@h/y'",
        f"[[alerts.channels]]\nname = 'a'\nurl = 'nope://{CANARY}'",
    ],
)
def test_a_secret_in_a_wrong_place_is_not_repeated_either(text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(text, Path("/doorward.toml"))
    assert CANARY not in str(raised.value)


def test_a_fleet_file_keeps_its_cameras_passwords_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f"version = 1\n[[cameras]]\nname = 'a'\nkind = 'rtsp'\nurl = 'http://u:{CANARY}@h/x'\n")
    with pytest.raises(ConfigurationError, match=r"line 5, cameras\[1\]\.url") as raised:
        load_fleet(path)
    assert CANARY not in str(raised.value)


def test_of_a_right_configuration_only_that_there_are_secrets_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "doorward.toml"
    text = (
        f"[camera]\nkind = 'rtsp'\nurl = 'rtsp://u:{CANARY}@h/a'\nluma_url = 'rtsp://u:{CANARY}@h/b'\n"
        f"[[alerts.channels]]\nname = 'a'\nurl = 'tgram://{CANARY}/1'\n"
        f"[home_assistant]\nhost = 'home.lan'\npassword = '{CANARY}'\n"
    )
    path.write_text(text)
    configuration = parse(text, path)
    said = json.loads(json.dumps(shown(configuration)))
    assert CANARY not in json.dumps(said)
    assert (said["camera"]["url"], said["home_assistant"]["host"]) == ("(not shown)", "home.lan")
    for section in (said["camera"], said["home_assistant"], said["alerts"]["channels"][0]):
        section.update({key: None for key, value in section.items() if value == "(not shown)"})
    plain = json.loads(msgspec.json.encode(configuration, enc_hook=str))
    for section, keys in ((plain["camera"], ("url", "luma_url")), (plain["home_assistant"], ("password",))):
        section.update(dict.fromkeys(keys))
    plain["alerts"]["channels"][0]["url"] = None
    assert said == plain, "everything else is there"

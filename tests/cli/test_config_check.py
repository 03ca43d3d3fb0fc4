"""`doorward config check` notes what a right file names and this machine lacks."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.config import config


def test_files_of_the_broker_that_are_not_there_are_noted(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.touch()
    path = tmp_path / "doorward.toml"
    path.write_text('[broker]\nhost = "b.example"\nca = "ca.pem"\ncertificate = "door.pem"\nkey = "door.key"\n')
    said = CliRunner().invoke(config, ["check", str(path)]).output
    assert f"{path} is right." in said
    assert f"{tmp_path}/door.pem does not exist now." in said
    assert f"{tmp_path}/door.key does not exist now." in said
    assert str(there) not in said


def test_a_file_in_a_folder_of_root_may_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text('[broker]\nhost = "b.example"\nca = "ca.pem"\ncertificate = "door.pem"\nkey = "door.key"\n')

    def closed(_self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)
    said = CliRunner().invoke(config, ["check", str(path)])
    assert said.exit_code == 0
    assert "does not exist" not in said.output


@pytest.mark.parametrize("option", [[], ["--config"]])
def test_a_file_that_this_user_may_not_read_has_our_remedy(
    option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text("")
    monkeypatch.setattr("os.access", lambda *_: False)  # click would end with its own words
    said = CliRunner().invoke(config, ["check", *option, str(path)])
    assert said.exit_code == 0, said.output


def test_a_time_zone_that_this_machine_does_not_know_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "doorward.toml"
    for zone, is_noted in (("Europe/Amsterdm", True), ("Europe/Amsterdam", False), ("Europe", True), ("", False)):
        path.write_text(f'[device]\ntime_zone = "{zone}"\n[camera]\nkind = "scripted"\n')
        said = CliRunner().invoke(config, ["check", str(path)])
        assert said.exit_code == 0
        assert (f"{path}, line 2, device.time_zone: this machine does not know" in said.output) is is_noted, zone
        assert ("Did you mean 'Europe/Amsterdam'?" in said.output) is (zone == "Europe/Amsterdm")

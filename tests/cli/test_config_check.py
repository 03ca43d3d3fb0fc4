"""`doorward config check` notes what a right file names and this machine lacks."""

from pathlib import Path

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

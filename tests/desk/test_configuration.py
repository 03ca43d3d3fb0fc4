"""`desk.toml`: the commented file is valid and shows the defaults, and an error names place and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.errors import ConfigurationError, StorageError
from desk import config


def written(folder: Path, text: str) -> Path:
    path = folder / "desk.toml"
    path.write_text(text)
    return path


def test_the_commented_file_shows_the_defaults(tmp_path: Path) -> None:
    found = config.load(written(tmp_path, config.TEMPLATE.read_text()))
    assert found == config.load(written(tmp_path, ""))


def test_every_key_of_the_commented_file_is_known(tmp_path: Path) -> None:
    lines = config.TEMPLATE.read_text().splitlines()
    shown = "\n".join(re.sub(r"^# (?=\[|[a-z_]+ = )", "", line) for line in lines)
    found = config.load(written(tmp_path, shown))
    assert [provider.id for provider in found.oidc] == ["agency"]
    assert found.web.certificate == tmp_path / "desk.pem"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, "")).data == tmp_path / "data"
    assert config.load(written(tmp_path, 'data = "/srv/desk"')).data == Path("/srv/desk")


def test_without_a_time_zone_pages_show_that_of_the_machine(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Madrid")
    assert config.machine_zone(link) == "Europe/Madrid"
    assert config.machine_zone(tmp_path / "missing") == "UTC"
    assert config.load(written(tmp_path, "")).zone == config.machine_zone()
    assert config.load(written(tmp_path, 'time_zone = "Asia/Tokyo"')).zone == "Asia/Tokyo"


PROVIDER = """[[oidc]]
id = "agency"
name = "Agency"
issuer = "https://sign-in.example.org"
client_id = "desk"
client_secret_file = "oidc.secret"
"""


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("[web]\nprot = 1", "line 2, web.prot", "port"),
        ('time_zone = "Mars/Base"', "line 1, time_zone", "Europe/Amsterdam"),
        ("[web]\nport = 70000", "line 2, web.port", ""),
        ('language = "de"', "line 1, language: 'de' does not fit", 'Give one of "en", "nl".'),
        ('[storage]\nkind = "disk"', "line 2, storage.kind", 'Give one of "folder", "s3".'),
        ('[web]\nhost = "0.0.0.0"\ntls = "proxy"', "line 2, web.host", "127.0.0.1"),
        ('[web]\ntls = "files"', "line 2, web.tls", "certificate"),
        ('[database]\nkind = "postgresql"', "", "server"),
        ('[database]\nkind = "postgresql"\nhost = "a,,b"', "line 3, database.host", "commas"),
        ('[database]\nkind = "postgresql"\nhost = "a,b"\nport = "1,2,3"', "line 4, database.port", "5432,5433"),
        ('[database]\nkind = "postgresql"\nhost = "a"\nport = "0"', "line 4, database.port", ""),
        ('[database]\nkind = "postgresql"\nhost = "db1.example.org"', "line 3, database.host", "authority"),
        (
            '[database]\nkind = "postgresql"\nhost = "localhost,10.0.0.7"',
            "line 3, database.host",
            "TLS to the database",
        ),
        ('[database]\nkind = "postgresql"\nhost = "localhost"\nauthority = "none.pem"', "line 4, database.auth", "PEM"),
        (f"{PROVIDER}\n{PROVIDER}", "oidc", "email_domains"),
    ],
)
def test_an_error_names_its_place_and_the_remedy(tmp_path: Path, text: str, place: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(written(tmp_path, text))
    assert place in caught.value.message
    assert remedy in caught.value.remedy


def test_a_database_on_this_computer_needs_no_authority_and_one_elsewhere_has_it(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").touch()
    for lines in (
        'host = "/run/postgresql,@pg,localhost,127.0.0.2,::1"\nport = 5432',
        'host = "db1.example.org,db2.example.org"\nauthority = "authority.pem"',
    ):
        loaded = config.load(written(tmp_path, f'[database]\nkind = "postgresql"\n{lines}'))
        assert loaded.database.authority in (None, tmp_path / "authority.pem")


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "there").write_text(" s3cret\n")
    assert [config.read_secret(each) for each in (None, tmp_path / "there")] == ["", "s3cret"]
    with pytest.raises(StorageError, match=r"database\.password"):
        config.read_secret(tmp_path / "database.password")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(tmp_path / "desk.toml")
    assert "doorward-desk init" in caught.value.remedy


def test_the_file_is_looked_for_by_name_then_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.locate() is None
    written(tmp_path, "")
    assert config.locate() == Path("desk.toml")
    monkeypatch.setenv(config.ENVIRONMENT, "/elsewhere/desk.toml")
    assert config.locate() == Path("/elsewhere/desk.toml")

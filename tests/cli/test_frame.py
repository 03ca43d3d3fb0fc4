"""Behaviour of all commands: help without loading, errors as sentences, exit status by who must act."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from agent import errors
from agent.cli.app import COMMANDS, doorward
from agent.cli.frame import EXIT_STATUS, run
from agent.config.settings import CameraKind


def tool_that_raises(error: BaseException) -> click.Command:
    @click.command()
    def failing() -> None:
        raise error

    return failing


def test_help_loads_no_command_and_no_library_but_click() -> None:
    code = (
        "import sys; from agent.cli import main; sys.argv = ['doorward', '--help']; status = main();"
        "heavy = {'av', 'cv2', 'numpy', 'cryptography', 'msgspec', 'paho', 'rich', 'structlog', 'sqlite3'};"
        "sys.exit(status or ' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot open its own footage" in done.stdout


def test_programs_without_pictures_load_no_numpy() -> None:
    """It is a third of the start of a requester's receiver and of each command of a desk."""
    clients = (
        "agent.clients.requester.receiving_service, agent.clients.requester.verification, agent.clients.owner.sync"
    )
    code = f"import sys, agent.uplink.uplink_process, {clients}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def cpu_s(*arguments: str) -> float:
    """The least of three runs of Python, children's time as the kernel counts it."""
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(spent)


def test_help_costs_little_more_than_click() -> None:
    assert cpu_s("-m", "agent.cli", "--help") < 4 * cpu_s("-c", "import click")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_the_table_leads_to_a_command_that_begins_with_the_same_words(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    words, shown = re.findall(r"\w+", command.get_short_help_str(limit=200)), re.findall(r"\w+", COMMANDS[name].summary)
    assert words[:3] == shown[:3]


def test_an_error_and_its_remedy_are_in_the_language_of_the_terminal(
    tool: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {}
    for language in ("C.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8"):
        monkeypatch.setenv("LC_ALL", language)
        said[language[:2]] = tool("owner", "status", "--keys", tmp_path).err
    assert said["C."].startswith(f"Error: {tmp_path} holds no owner's keys.")
    assert said["de"] == (
        f"Fehler: {tmp_path} enthält keine Schlüssel eines Eigentümers.\n"
        "  Was zu tun ist: Erstellen Sie sie: doorward owner keygen.\n"
    )
    assert said["fr"].startswith("Erreur\u00a0: ")


def test_every_error_class_has_its_own_status() -> None:
    direct = [kind for kind in errors.DoorwardError.__subclasses__() if kind.__module__ == "agent.errors"]
    statuses = [EXIT_STATUS[kind] for kind in direct]
    assert len(set(statuses)) == len(statuses)
    assert not {0, 1} & set(statuses)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigurationError("It is wrong.", remedy="Mend it."), 2),
        (errors.OpenError(remedy="Mend it."), 4),
        (errors.StorageError("It is full.", remedy="Mend it."), 5),
        (errors.NetworkError("It is away.", remedy="Mend it."), 7),
    ],
)
def test_an_error_is_a_sentence_a_remedy_and_a_status(
    error: errors.DoorwardError, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tool_that_raises(error), []) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"Error: {error.message}\n  What to do: Mend it.\n"


@pytest.mark.parametrize("kind", EXIT_STATUS)
def test_no_error_leaves_whoever_reads_it_without_a_remedy(
    kind: type[errors.DoorwardError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tool_that_raises(kind("It is wrong.")), []) == EXIT_STATUS[kind]
    assert re.search(r"\n  What to do: \w.+\n$", capsys.readouterr().err)


def test_a_bug_is_called_one_and_shows_no_stack_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tool_that_raises(ZeroDivisionError("division by zero")), []) == 70
    err = capsys.readouterr().err
    assert err.startswith("Error: This is a bug in Doorward (ZeroDivisionError: division by zero).")
    assert "Traceback" not in err


def test_debug_shows_where_an_error_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOORWARD_DEBUG", "1")
    assert run(tool_that_raises(errors.StorageError("It is full.")), []) == 5
    assert "Traceback" in capsys.readouterr().err


def test_a_key_press_stops_in_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tool_that_raises(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err.strip() == "Stopped."


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m agent.cli --help | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_misspelt_command_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["docter"]) == 2
    assert "Did you mean 'doctor'?" in capsys.readouterr().err


def test_every_help_says_in_whole_sentences_what_it_and_each_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    def walk(command: click.Command, path: list[str]) -> Iterator[list[str]]:
        yield path
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from walk(inner, [*path, name])

    paths = list(walk(doorward, []))
    assert len(paths) > 60
    for path in paths:
        assert run(doorward, [*path, "--help"]) == 0
        rest = capsys.readouterr().out.partition("\n\n")[2]
        sentence = rest.partition("\n\n")[0].strip()
        assert sentence.endswith((".", ":")), (path, sentence)
        assert not [line for line in rest.splitlines() if line.endswith("...")], path


MACHINE_WORDS = re.compile(r"\b(TEXT|INTEGER|FLOAT|RANGE|BOOLEAN|UUID|None)\b|[<>]=?x|x[<>]")


def every_command(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from every_command(inner, (*path, name))


def test_every_option_and_argument_has_a_word_of_help_and_none_of_the_machines() -> None:
    silent, odd = [], []
    for name, command in every_command(doorward):
        context = click.Context(command)
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                record = parameter.get_help_record(context) or ("", "hidden")
                shown, told = " ".join(record), bool(parameter.help or parameter.hidden)
            else:
                shown = parameter.make_metavar(context)
                told = all(word in (command.help or "") for word in re.findall(r"[A-Z]{2,}", shown))
            silent += [] if told else [f"{name} {shown}"]
            odd += [f"{name} {shown}"] if MACHINE_WORDS.search(shown) else []
    assert (silent, odd) == ([], [])


def test_a_number_out_of_its_bounds_is_told_them_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["owner", "hold", "--help"]) == 0
    assert "default: 90; 1 to 366" in " ".join(capsys.readouterr().out.split())
    assert run(doorward, ["owner", "ledger", "--help"]) == 0
    assert "default: 20; at least 1" in " ".join(capsys.readouterr().out.split())
    assert run(doorward, ["owner", "hold", "--days", "0"]) == 2
    assert "0 is not in the range 1 to 366." in capsys.readouterr().err


def test_two_names_of_one_command_name_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    for path in (["trust"], ["owner", "trust"]):
        assert run(doorward, [*path, "--help"]) == 0
        assert "`doorward trust` and `doorward owner trust` are the same" in " ".join(capsys.readouterr().out.split())
    assert run(doorward, ["owner", "ledger", "--help"]) == 0
    assert "`doorward ledger list` is the same" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(doorward, ["completion", shell]) == 0
    assert "_DOORWARD_COMPLETE" in capsys.readouterr().out


def test_the_shell_completes_commands() -> None:
    environment = os.environ | {"_DOORWARD_COMPLETE": "bash_complete", "COMP_WORDS": "doorward con", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "plain,config\n"


@pytest.mark.parametrize("kind", [each.value for each in CameraKind])
def test_a_configuration_with_any_kind_of_camera_is_told_in_words(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = tmp_path / "doorward.toml"
    more = {"file": f'path = "{tmp_path}/a.mp4"', "rtsp": 'url = "rtsp://admin:hunter2@camera.home/main"'}
    right.write_text(f'[camera]\nkind = "{kind}"\n{more.get(kind, "")}\n')
    assert run(doorward, ["config", "check", str(right)]) == 0
    out, _ = capsys.readouterr()
    assert "watches" in out
    assert "hunter2" not in out


def test_json_is_one_document_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "doorward.toml"
    broken.write_text("[camera]\nfsp = 3\n")
    assert run(doorward, ["config", "check", "--json", str(broken)]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["remedy"] == "Did you mean 'fps'?"
    assert err == ""

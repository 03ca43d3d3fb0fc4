"""The small share of `make test-vm` and `make test-pi3`: what is written about a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.hardware.vm import run


@pytest.mark.parametrize(("kind", "architecture"), [("vm", "amd64"), ("pi3", "arm64")])
def test_a_result_has_the_seconds_of_the_run_without_those_of_the_build(
    kind: str, architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    built: dict[str, bool] = {}

    def build(wanted: str) -> Path:
        nonlocal now_s
        now_s += 0 if built.get(wanted) else 1000
        built[wanted] = True
        return tmp_path

    def boot() -> list[tuple[str, bool, str]]:
        nonlocal now_s
        run.build(architecture)
        now_s += 30
        return [("pir", True, "")]

    results = tmp_path / "RESULTS.md"
    results.write_text(f"# Results\n<!-- {kind} -->\nold\n<!-- /{kind} -->\n\nA note.\n")
    monkeypatch.setattr(run, "RESULTS", results)
    monkeypatch.setattr(run, "build", build)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(run, kind, boot)
    assert run.main([kind]) == 0
    text = results.read_text()
    assert ", 30 s without the build.\n" in text
    assert "| pir | yes |  |\n" in text
    assert text.startswith("# Results\n<!-- ")
    assert text.endswith("-->\n\nA note.\n")

"""The demo's output: numbered acts, plain sentences, and a progress bar for slow steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

__all__ = ["Teller"]


class Teller:
    """Writes the story.  Everything it says was done a moment ago."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._act = 0

    def title(self, text: str, under: str) -> None:
        self.console.print()
        self.console.print(Text(text, style="bold"))
        self.console.print(Text(under, style="dim"))

    def act(self, text: str) -> None:
        self._act += 1
        self.console.print()
        self.console.print(Text(f"{self._act}  {text}", style="bold cyan"))

    def say(self, text: str) -> None:
        self.console.print(Padding(text, (0, 0, 0, 3)))

    def proof(self, holds: bool, text: str) -> None:
        """A claim that was checked just now."""
        mark = Text.assemble(("✓ ", "bold green") if holds else ("✗ ", "bold red"), text)
        self.console.print(Padding(mark, (0, 0, 0, 3)))

    def file(self, what: str, path: object) -> None:
        self.console.print(Text.assemble((f"   {what:<16}", "dim"), str(path)), soft_wrap=True)

    def command(self, text: str) -> None:
        """Prints a command to copy, on one line."""
        self.console.print(Text(f"   {text}", style="dim"), soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: float) -> Iterator[Progress]:
        """Shows a bar for one task. The bar disappears at the end."""
        # If the output is not a terminal, a transient bar would leave an empty line.
        columns = (TextColumn("   {task.description}"), BarColumn(bar_width=40), TaskProgressColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            bar.add_task(what, total=total)
            yield bar

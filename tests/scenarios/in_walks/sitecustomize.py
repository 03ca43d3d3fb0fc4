"""Python imports this as it starts, in each process that takes part in a traced walk.

`tests/scenarios/walks.py` names this folder in PYTHONPATH. While the file `window` names a window, the process notes
the functions of `agent` and `firmware_bridge` that are executed, with the names of their threads. A function that was
called earlier and still runs is noted, too: it is on a stack as the window opens or closes. As the text of the file
changes, the process writes the notes of the old window.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import types
from pathlib import Path

FOLDER = "DOORWARD_WALKS"
"""Names the folder of the notes and of the file `window`."""
ROOT = f"{Path(__file__).resolve().parents[3]}/"
CODE = (f"{ROOT}agent/", f"{ROOT}firmware_bridge/")
TOOL = 4
IS_FUNCTION = 0x1
"""`CO_OPTIMIZED`: the code of a function has it, and the body of a module or a class has not."""
LOOK_S = 0.01


class Notes:
    """The functions that this process executes: file -> function -> threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._window = ""
        self._executed: dict[str, dict[str, set[str]]] = {}

    def begin(self) -> None:
        sys.monitoring.use_tool_id(TOOL, "walks")
        sys.monitoring.register_callback(TOOL, sys.monitoring.events.PY_START, self._on_start)
        threading.Thread(target=self._follow, name="walks", daemon=True).start()

    def _on_start(self, code: types.CodeType, _offset: int) -> object:
        return None if self._note(code, threading.current_thread().name) else sys.monitoring.DISABLE

    def _note(self, code: types.CodeType, thread: str) -> bool:
        """Returns False if it never is a function of ours."""
        if not code.co_flags & IS_FUNCTION or not code.co_filename.startswith(CODE):
            return False
        functions = self._executed.setdefault(code.co_filename.removeprefix(ROOT), {})
        functions.setdefault(code.co_qualname, set()).add(thread)
        return True

    def _note_stacks(self) -> None:
        names = {each.ident: each.name for each in threading.enumerate()}
        for thread, innermost in sys._current_frames().items():
            frame: types.FrameType | None = innermost
            while frame is not None:
                self._note(frame.f_code, names.get(thread, ""))
                frame = frame.f_back

    def _follow(self) -> None:
        while True:
            window = (self._folder / "window").read_text()
            if window != self._window:
                self._change_to(window)
            time.sleep(LOOK_S)

    def _change_to(self, window: str) -> None:
        if self._window:
            self._note_stacks()
            sys.monitoring.set_events(TOOL, 0)
            time.sleep(LOOK_S)  # a thread may be inside `_on_start`
            self._write(self._window, json.dumps(self._executed, default=sorted))
        self._window, self._executed = window, {}
        if window:
            sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_START)
            self._note_stacks()
        self._write("follows", window)

    def _write(self, name: str, text: str) -> None:
        part = self._folder / f"part.{os.getpid()}"
        part.write_text(text)
        part.rename(self._folder / f"{name}.{os.getpid()}")


if __name__ == "sitecustomize" and FOLDER in os.environ and hasattr(sys, "monitoring"):
    Notes(Path(os.environ[FOLDER])).begin()

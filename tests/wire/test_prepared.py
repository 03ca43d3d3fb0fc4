"""Threads decode a type for the first time at once. With msgspec 0.22 that ends an unprepared process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.wire.strictjson import Message

DECODING = """
from __future__ import annotations
import sys, threading, types
from agent.ipc import rpc
from agent.wire import strictjson
sys.setswitchinterval(1e-6)
SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass
from agent.ipc.rpc import Request
from agent.wire.strictjson import Message
class Inner(Message):
    a: int
class Outer(Message):
    x: Inner
    y: tuple[Inner, ...] = ()
@dataclass(frozen=True)
class Part:
    a: int
@dataclass(frozen=True)
class Whole:
    x: Part
    y: tuple[Part, ...] = ()
class Ask(Request[Whole]):
    x: int
'''
for number in range(400):
    module = types.ModuleType(f"fresh{number}")
    sys.modules[module.__name__] = module
    exec(SOURCE, module.__dict__)
    together = threading.Barrier(4)
    def decode(work):
        together.wait()
        if work == "message":
            strictjson.decode(b'{"x":{"a":1},"y":[{"a":2}]}', module.Outer)
        elif work == "request":
            rpc.read_request({"op": "Ask", "x": 1}, module.Ask)
        else:
            rpc.read_answer(module.Ask, {"ok": True, "result": {"x": {"a": 1}}})
    for work in ("message", "request", "answer"):
        threads = [threading.Thread(target=decode, args=(work,)) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
print("decoded")
"""


def test_threads_may_decode_a_message_a_request_and_an_answer_for_the_first_time_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", DECODING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "decoded\n", "")


def test_a_message_that_names_a_type_below_it_is_refused_at_its_definition() -> None:
    with pytest.raises(NameError, match="Below"):
        type(Message)("Above", (Message,), {"__annotations__": {"field": "Below"}, "__module__": __name__})

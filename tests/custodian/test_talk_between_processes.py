"""Talk over the socket between custodian and recorder, as in an installation."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.opening import HybridIdentity
from agent.core.talk.frames import FrameKind
from agent.custodian.ipc_handlers import RecorderIpcHandler, StatusReports
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.ipc.control_operations import BeginTalk, SendTalk
from agent.ipc.protocol import FromRecorder
from agent.ipc.rpc_client import RpcClient
from agent.ipc.rpc_server import role_server
from agent.platform.system_clock import SystemEntropy
from agent.recorder.playback.speaker_file import FileSpeaker
from agent.recorder.recorder_process import _RemoteTalk
from agent.recorder.talk import SpeakerSettings, TalkService
from tests.talkers import heard, level_at, opus_tone, writer_of

ANA = HybridIdentity(bytes([1]) * 32)


def test_a_voice_crosses_from_one_process_to_the_other_and_a_stop_ends_the_wait(tmp_path: Path) -> None:
    buffer = TalkBuffer(Ed25519PrivateKey.generate())
    reports: Any = StatusReports(None)  # type: ignore[arg-type]
    unused: Any = None
    handler = RecorderIpcHandler(
        unused, unused, unused, unused, unused, unused, reports, LiveBuffer(), buffer, capture=unused
    )
    folder = Path(tempfile.mkdtemp())
    server = role_server(folder / "custodian.sock", FromRecorder, handler.handle, frozenset({os.getuid()}))
    server.start()
    client = RpcClient(folder / "custodian.sock", frozenset({os.getuid()}))
    path = tmp_path / "heard.wav"
    service = TalkService(lambda: FileSpeaker(path), SpeakerSettings(100), lambda: True, SystemEntropy())
    service.listen_to((str(ANA.recipient()),))
    thread = threading.Thread(target=service.run, args=(_RemoteTalk(client),), name="talk")
    thread.start()
    try:
        result, sealed = buffer.begin(BeginTalk(str(ANA.recipient()), "a" * 32), b"")
        secret, writer = writer_of(sealed, ANA)
        frames = [writer.seal(FrameKind.OPUS, packet) for packet in opus_tone(440, 1.0)]
        for at in range(0, len(frames), 5):
            part = frames[at : at + 5]
            answer, _ = buffer.send(SendTalk(secret.session, tuple(map(len, part))), b"".join(part))
            assert answer == {"state": "ready"}
            time.sleep(0.1)
        end_s = time.monotonic() + 60
        while not (level_at(heard(path), 440) > 4000).sum() > 5:
            assert time.monotonic() < end_s
            time.sleep(0.05)
        assert result["state"] == "ready"
        assert np.isfinite(heard(path)).all()
    finally:
        service.stop()
        buffer.close()
        client.close()
        thread.join(60)
        server.stop()
        (folder / "custodian.sock").unlink(missing_ok=True)
        folder.rmdir()
    assert not thread.is_alive()

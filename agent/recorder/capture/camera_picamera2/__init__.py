"""A Raspberry Pi camera through picamera2: H.264 from the board's own encoder, luma from the small stream.

    camera thread (picamera2's)   masks the picture, encodes or hands to the hardware
    encoder thread (hardware's)   Annex-B bytes into a short queue, as they are
    our thread                    takes the newest frame, its luma by reference, and delivers both to the sink

Rules:
- The camera thread is never kept: no call of ours runs on it but the mask's fill (and the turning of pictures that the
  camera says it did not turn), and what comes too fast for the
  sink is dropped and counted, never queued.
- One copy of a luma frame is made, by whoever keeps it; none of an encoded one.  Full pictures are not copied.
- What was asked for is read back: size, format and turning come from `camera_configuration()`, frame rates are
  clamped to what the sensor offers, and controls that a camera lacks are not set, because picamera2 raises for those.
- Sensor times are `SensorTimestamp` (CLOCK_MONOTONIC) moved to the boot clock, to the microsecond the encoder keeps.
- A hardware encoder that is missing or falls silent is remembered in `EncoderChoice`, and the next attempt encodes in
  software, smaller.  A pipeline that cannot be closed within `_CLOSING_S` is left behind and said so: only a new
  process helps then.

    mode       what is asked of the camera
    camera     its life: open, deliver, close
    encoding   the encoders, and the queue behind them
    pictures   what is done to pixels before encoder and detector see them
    faults     what picamera2 raises, and what it means

picamera2 is Debian's (`python3-picamera2`) and belongs to the system's Python, so it is imported when a camera is
opened.  Sources: the Picamera2 manual; picamera2's own code where that is silent.
"""

from agent.recorder.capture.camera_picamera2.camera import PiCamera, cameras_here
from agent.recorder.capture.camera_picamera2.encoding import EncoderChoice
from agent.recorder.capture.camera_picamera2.mode import PiMode

__all__ = ["EncoderChoice", "PiCamera", "PiMode", "cameras_here"]

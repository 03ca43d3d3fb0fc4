"""A Raspberry Pi camera through picamera2: H.264 from the board's encoder, luma from the small stream.

    camera thread (picamera2's)   masks the picture, encodes or hands to the hardware
    encoder thread (hardware's)   puts Annex-B bytes into a short queue
    delivery thread (ours)        takes the newest frame, its luma by reference, and delivers both to the sink

- The camera thread must stay fast. It runs only the mask's fill (and the turning of pictures that the camera left
  unturned). Packets that are too fast for the sink are dropped and counted, never queued.
- The reader of a luma frame makes its only copy. Packets and full pictures are passed by reference.
- Requested values are read back: size, format and turning come from `camera_configuration()`, and frame rates are
  clamped to the sensor's range. Controls that a camera lacks stay unset, because picamera2 raises for those.
- Sensor times are `SensorTimestamp` (CLOCK_MONOTONIC) moved to the boot clock, to the microsecond that the encoder
  keeps.
- `EncoderChoice` remembers a hardware encoder that is missing or falls silent; the next attempt encodes in software,
  smaller. If closing a pipeline takes longer than `_CLOSING_S`, it is abandoned and reported: then only a new process
  helps.

    mode       the requested settings of the camera
    camera     its life: open, deliver packets and the small stream's luma, close
    encoding   the encoders, and the queue behind them
    pictures   masks and turning, in place, and the coloured copies for object detection
    faults     the exceptions of picamera2, and their meaning

picamera2 is Debian's (`python3-picamera2`) and belongs to the system's Python, so it is imported when a camera is
opened. Sources: the Picamera2 manual; picamera2's source code for what the manual does not say.
"""

from agent.recorder.capture.camera_picamera2.camera import PiCamera, cameras_here
from agent.recorder.capture.camera_picamera2.encoding import EncoderChoice
from agent.recorder.capture.camera_picamera2.mode import PiMode

__all__ = ["EncoderChoice", "PiCamera", "PiMode", "cameras_here"]

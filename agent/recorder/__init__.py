"""The recorder's process: camera, motion, events, and the vault it writes.

`recorder_process` starts it, `composition` builds its parts, `capture` has the cameras and microphones. A frame goes
from `capture` through `camera_queues`, `frame_analysis` and `clip_writer` to `segment_writer` and `manifest_writer`.
`camera_loop` opens, watches and closes the camera. `thread_owners` says which thread writes which attribute.
"""

"""The recorder's process: camera, motion, events, and the vault it writes.

`recorder_process` starts it, `composition` builds its parts, `capture` has the cameras and microphones. A frame goes
from `capture` through `camera_queues`, `frame_analysis` and `clip_writer` to `segment_writer` and `manifest_writer`.
`camera_loop` opens, watches and closes the camera.

    thread            does                                                                   started by
    (main)            the camera loop: opens, watches and closes the camera                  `recorder_process`
    camera-…, rtsp-…  deliver packets and luma to `camera_queues`                            `capture`
    microphone-…      delivers sound                                                         `capture`
    sound             opens the microphone, which may take seconds                           `sound_recorder`
    analysis          luma to motion to events; never waits for the disk                     `camera_loop`
    writer            packets and events to sealed segments; may wait for the disk           `camera_loop`
    detection         the network of object detection                                        `object_detection`
    live              seals the newest GOPs while an owner looks; encodes small pictures     `composition`
    talk              opens an owner's sealed voice, and keeps the session                   `composition`
    speaker           decodes and plays it, while a session lasts                            `talk`
    scrub             reads stored segments, at the lowest priority                          `composition`
    index             makes a lost index again, beside the recording                         `composition`
    index-copy        copies the index once a day, at the lowest priority                    `composition`
    hours             begins and ends the private hours                                      `composition`
    time              every 2 s: recipients, settings, status, the watchdog                  `recorder_process`
    bridge-link       the panel socket: presses in, heartbeats out                           `bridge_client`
    bridge-process    runs the bridge as a child, without systemd                            `bridge_process`

`agent/platform/thread_owners.py` says which of them writes which attribute, and
`tests/recorder/thread_owner_check.py` checks it while tests run.
"""

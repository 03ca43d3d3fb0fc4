"""The doorbell's hardware: button, PIR, LEDs, chime, switches, and the health of the board.

The bridge is a separate process that reaches GPIO lines only. Network, camera, keys and footage are out of its reach,
and it is independent of the agent's code. Bridge and agent exchange frames of at most 1 KiB over a local socket
(PROTOCOL.md).

    panel.py      decisions: debounce, presses, LED rules, chime, a silent agent                             (pure)
    daylight.py   decisions: when the infrared filter and the lamp switch                                    (pure)
    throttling.py decisions: how much the camera must reduce its work before the firmware throttles          (pure)
    backends/     the lines: gpiod 2, gpiozero, and a simulated panel for tests and terminals
    health.py     readings: temperature, throttling, under-voltage, wear, CMA, clock, Wi-Fi
    time_zone.py  the zone of local hours, also for the agent
    frames.py     the messages; server.py the socket; bridge.py the loop that joins all of it
"""

"""The doorbell's hardware: button, PIR, LEDs, chime, switches, and the health of the board.

The bridge is a separate process that reaches GPIO lines only. Network, camera, keys and footage are out of its reach,
and it is independent of the agent's code. Bridge and agent exchange frames of at most 1 KiB over a local socket
(PROTOCOL.md).

    panel.py         decisions: debounce, presses, LED rules, chime, a silent agent                          (pure)
    night_mode.py    decisions: when the infrared (IR-cut) filter and the lamp switch                        (pure)
    throttling.py    decisions: how much the camera must reduce its work before the firmware throttles       (pure)
    lines.py         the lines by meaning; backends/ reaches them by gpiod 2 or gpiozero, or simulates a panel
    board_health.py  readings: temperature, throttling, under-voltage, wear, CMA, clock, Wi-Fi
    boards.py        the properties of each Raspberry Pi: encoder, camera buffers, temperature limit
    board_light.py   the board's own green light, for the set-up of a doorbell without a status LED
    settings.py      `[panel]` and `[board]` of the configuration; time_zone.py the zone of local hours
    frames.py        the messages; server.py the socket; bridge.py the loop that joins all of it
"""

"""The doorbell's own hardware: button, PIR, lights, chime, switches, and the health of the board.

A process of its own with nothing but wires in it: no network, no camera, no key, no footage, and no import of the
agent.  The two talk over a local socket in frames of at most a kilobyte (PROTOCOL.md).

    panel.py      decides: debounce, presses, indicator rules, chime, what happens when the agent is silent   (pure)
    daylight.py   decides: when the infrared filter and the lamp switch                                       (pure)
    ladder.py     decides: how much the camera must be relieved before the firmware throttles                 (pure)
    backends/     the wires: gpiod 2, gpiozero, and a simulated panel that tests and terminals press
    health.py     reads: temperature, throttling, under-voltage, wear, CMA, clock, Wi-Fi
    frames.py     the messages; server.py the socket; bridge.py the loop that joins all of it
"""

"""MQTT 5 over mutual TLS 1.3: the `Bus` port on paho-mqtt, which does the packets and nothing else.

paho-mqtt is fast and honest about single packets.  Around it this package does what paho leaves out or does wrong
(2.2, each held by a test): it ignores the broker's receive maximum and packet size, sends everything at once after a
reconnect, calls a refused publication published, repeats a refused one for ever, does not resolve topic aliases, hangs
in `loop_stop()`, and shows a refused certificate as an endless reconnect.

- `bus`         `MqttBus`: the thread, the events, the reconnecting
- `connection`  one connection, one paho client, used once; a fresh client is what cures paho's memory
- `packets`     one message out, one message in
- `tls`         the context, and what a failed handshake means in a person's words
- `faults`      what the broker's reason codes mean
- `pacing`      the window and the back-off, without I/O
- `settings`    limits and files
"""

from agent.mqtt.bus import MqttBus
from agent.mqtt.bus_settings import BusSettings

__all__ = ["BusSettings", "MqttBus"]

"""MQTT 5 over mutual TLS 1.3: the `Bus` port on paho-mqtt, which handles only the packets.

paho-mqtt is fast and reliable with single packets. Around it this package adds the parts that paho lacks or does wrong
(2.2, each held by a test): it ignores the broker's receive maximum and packet size, sends everything at once after a
reconnect, calls a refused publication published, repeats a refused one for ever, leaves topic aliases unresolved, hangs
in `loop_stop()`, and shows a refused certificate as an endless reconnect.

- `bus`              `MqttBus`: the thread, the events, the reconnecting
- `connection`       one connection, one paho client, used once; a fresh client is what cures paho's memory
- `packets`          one message out, one message in
- `inbound`          messages that wait for the process, in turns by sender
- `tls`              the context, and the meaning of a failed handshake in plain words
- `faults`           the meaning of the broker's reason codes
- `pacing`           the window and the back-off, without I/O
- `bus_settings`     limits and files
- `outbound_client`  paho's client for a sandbox that forbids bind(2)
"""

from agent.mqtt.bus import MqttBus
from agent.mqtt.bus_settings import WATCHFUL_KEEPALIVE_S, BusSettings, sessionless

__all__ = ["WATCHFUL_KEEPALIVE_S", "BusSettings", "MqttBus", "sessionless"]

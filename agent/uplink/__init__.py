"""The uplink's process: the broker's connection, and the outbox objects that the custodian hands to it.

`uplink_process` starts it.  `uplink` takes messages to the custodian and uploads to requesters; `alert_sender` delivers
alerts; `home_assistant` shows the doorbell to the owner's home.
"""

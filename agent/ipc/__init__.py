"""The local sockets: between the three processes (`protocol`, `rpc`), and from a person to the custodian (`control_*`).

`protocol` has every message.  `outbox_files` are the files that the custodian hands to the uplink.
"""

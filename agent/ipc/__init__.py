"""The local sockets (docs/local-rpc.md): between the three processes, and of an owner's client.

`rpc`, `rpc_server` and `rpc_client` are shared. `protocol` has the messages of the roles, `control_operations` those of
the owner's client, and `control_client` its connection. `outbox_files` are the files that the custodian hands to the
uplink.
"""

"""What the recorder and the custodian share of the vault: files, index, replay, reading and verification.

The recorder writes (`recorder.vault`), the custodian follows (`custodian.vault_follower`).  Nothing here opens footage.
"""

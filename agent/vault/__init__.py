"""The parts of the vault that recorder and custodian share: files, index, replay, reading and verification.

The recorder writes (`recorder.vault`), and the custodian follows (`custodian.vault_follower`). This package opens no
footage.
"""

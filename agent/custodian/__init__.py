"""The custodian's process: requests, consent, ledger, the device's signing key, and the owner's page.

`custodian_process` starts it and `composition` builds its parts.  `alerts` decides when the owner is told, and `page`
serves the owner's browser.  A request goes from `inbox` to `releases`.  An approval goes from `control_handler` through
`statement_handler` and `approvals` to `releases` and `outbox_builder`.
"""

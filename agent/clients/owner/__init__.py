"""The owner's client: opens footage and signs an owner's decisions.

It runs on the machine with the owner's keys and talks to a device over its control socket (`link`). It trusts only data
that the device signed, and only if a later signature could not have forged it. A stolen or altered doorbell can refuse
to answer. It cannot invent footage, and gets keys only of footage that the owner reviewed.

    keys             the owner's keys in a folder (0600, optionally with a passphrase); `recovery_kit`, the key on paper
    known_devices    the last known state of each device, which may only go forwards
    sync             begins every session: the same device, the same owners, the same ledger, grown?
    enrolment        tells the device its recipients, after a proof that the owner can open its footage
    sealed_footage   opens a segment and compares it with its signed record; `segment_sources` fetch from a device,
                     `copied_vault` from the disk of a dead one; `mp4_export` writes MP4s and stills
    trust_roots      the roots that vouch for requesters, and the bundles they signed
    review           a footage request, verified on this machine
    decisions        approve (re-wrap exactly the chosen segments), deny, revoke, opt out and in

The package imports only the formats (`wire`, `core`) and `media` from the device. Only the command line prints and
asks.
"""

"""The owner's client: the only place where footage can be opened, and the only one that can say yes.

It runs where the owner's keys are and talks to a device over its control socket (`link`).  The device is not trusted
with anything it does not sign, nor with anything it could have signed later than it should: a stolen or altered
doorbell can refuse, but it can neither show footage that was not captured so, nor lead its owner to hand over the keys
of other footage than the one they looked at.  What makes that so, file by file:

    keys        the owner's keys in a folder (0600, with a passphrase if they want); `kit`, the recovery key on paper
    remembered  what each device was like when last seen; it may only go forwards
    meeting     every talk begins here: is it the same device, the same owners, the same ledger, grown?
    enrolling   the device learns whom to seal to, and proves it before it counts
    opening     opens a segment and holds it against its signed record; `sources` fetch from a device, `folder` from the
                copied disk of a dead one; `exporting` makes MP4s and stills of what was opened
    trusting    which roots may vouch for requesters, and the bundles they signed
    reviewing   a footage request as the owner sees it: verified here, by this machine
    deciding    approve (re-wrap exactly the chosen segments), deny, revoke, opt out and in

Imports nothing of the device but the formats (`wire`, `core`) and `media`.  Only `agent.cli` prints and asks.
"""

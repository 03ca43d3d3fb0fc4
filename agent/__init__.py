"""Doorward: the doorbell camera that cannot see its own past.

It records what happens at the door, seals it to keys that are *not in the doorbell*, and lets footage out only when its
owner hands over the keys of exactly the segments they chose, to exactly the requester who asked.

    Stored video can be opened only with a key that is not in the doorbell.  Consent is a key, not a flag.

The story, and where each sentence of it lives
----------------------------------------------

A camera gives packets and small grey frames                                      `recorder.capture`, `media`
Grey frames become motion, motion becomes events                                  `core.motion`, `core.events`
Frames of an event get a second opinion, if there is one                          `core.object_detection`
An event keeps what came before it and what follows, in segments                  `core.preroll`, `core.segmenting`
Each segment is sealed, on its own, to the owners' public keys as it is written   `core.vault`, `recorder.vault`
If the owner wants, what is heard is sealed beside it, on its own                 `recorder.sound_recorder`
An owner looks through the door, second by second, sealed                         `recorder.live_view`
A requester the owner trusts asks a whole area, signed                            `wire`, `core.admission`
What they wrote is sealed to the owners before it touches the disk                `custodian.inbox`
The device checks and matches by itself, and stays silent if it has nothing       `core.matching`
The owner says no, nothing is sent; the owner says nothing, nothing is sent       `core.consent`
The owner says yes: their client opens the chosen file keys and wraps them anew   `clients.owner`
The device writes the ledger, joins new header and old ciphertext                 `core.ledger`, `core.disclosure`
It uploads, in pieces, until the requester's own receipt                          `core.transfer`, `uplink.uplink`
The requester opens, verifies, and can show anyone what was proven                `clients.requester`
What an owner tells unasked goes the same way, under no name                      `custodian.tips`

How to read it
--------------

Start with `core/consent.py`: one table, the whole of what can become of a request.  Then `core/disclosure`, where a
yes is checked key by key, and `core/vault/FORMAT.md`, which argues why a power cut loses nothing.  The scenario test
`tests/scenarios/test_from_the_doorbell_to_an_opened_disclosure.py` plays it all for real.

`recorder`, `custodian` and `uplink` are the three processes, `vault`, `ipc`, `mqtt` and `platform` what they share, and
`solo` runs all three as one.  `core` and `wire` decide and touch nothing.  `clients` are the owner's and the
requester's programs, which a doorbell does not have; `web` is what a browser gets, `cli` what an operator types.  An
import goes downwards only, and `setup.cfg` lists what each process may reach.
"""

__version__ = "0.1.0"

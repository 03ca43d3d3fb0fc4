"""Doorward: the doorbell camera that cannot see its own past.

Doorward records what happens at the door and seals it to keys that are *not in the doorbell*. Footage leaves only if an
owner releases the keys of the segments they chose, to the requester who asked.

    Stored video can be opened only with a key that is not in the doorbell.  Consent is a key, not a flag.

The story, and the package of each step
---------------------------------------

A camera delivers packets and small grey frames                                   `recorder.capture`, `media`
Grey frames become motion, and motion becomes events                              `core.motion`, `core.events`
Object detection labels frames of an event, if it is installed                    `core.object_detection`
An event keeps what came before it and what follows, in segments                  `core.preroll`, `core.segmenting`
Each segment is sealed to the owners' public keys while it is written             `core.vault`, `recorder.vault`
Sound, if an owner wants it, is sealed in a separate file                         `recorder.sound_recorder`
An owner watches live, picture by picture, each one sealed                        `recorder.live_view`
A trusted requester sends a signed request to a whole area                        `wire`, `core.admission`
The request is sealed to the owners before it touches the disk                    `custodian.inbox`
The device checks and matches the request, and stays silent without a match       `core.requests`
An owner says no or says nothing: nothing is sent                                 `core.consent`
An owner says yes: their client opens the chosen file keys and wraps them again   `clients.owner`
The device writes the ledger, and joins new headers and old ciphertext            `core.ledger`, `core.disclosure`
The device uploads in chunks, until the requester's signed receipt                `core.transfer`, `uplink.uplink`
The requester opens and verifies, and can prove it to others                      `clients.requester`
A tip, which an owner sends unasked, goes the same way without a name             `custodian.tips`

How to read the code
--------------------

Start with `core/consent.py`: one table with everything that can happen to a request. Continue with `core/disclosure`,
which checks an approval key by key, and `core/vault/FORMAT.md`, which shows why a power cut loses nothing. The test
`tests/scenarios/test_from_the_doorbell_to_an_opened_disclosure.py` plays the whole story.

`recorder`, `custodian` and `uplink` are three of the four processes. (The fourth, for button and lights, is the package
`firmware_bridge`, which imports nothing from here.) They share `vault`, `ipc`, `mqtt` and `platform`, and `solo` runs
all three as one. `updater` looks for signed updates twice a day. `core` and `wire` decide without I/O. `clients` are
the owner's and the requester's programs, which a doorbell lacks. `web` is for browsers, and `cli` for operators.
Imports go downwards only, and `setup.cfg` lists what each process may import. docs/architecture.md has the picture,
and a table of where each question is decided.
"""

__version__ = "0.1.0"

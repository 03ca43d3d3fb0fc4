"""The owner's page: everything a homeowner does, in a browser on their own network.

The doorbell serves ciphertext, signed records and a small program; the program, in the owner's browser, holds the keys,
opens, verifies and signs.  So what is served here could be served by anybody: the page's server never sees a key or a
picture, and a session alone can approve nothing.  File by file:

    authority    the device's own certificate authority, name-constrained to this one doorbell
    visitors     who has paired, with which printed code, until when; and how long a guesser has to wait
    marks        every route carries one: who may use it.  Without one the page does not start
    guard        hosts, origins, fetch metadata, sizes and the headers of every answer
    operations   the doorbell's operations by name: the control socket's own, and the page's few
    pages        the documents: pairing, installing the authority, and the shell of the program
    app          puts these together;  `server` runs it in a thread;  `announcing` says its name on the network
    src          the program (ES modules), built once into `static`: a doorbell needs no Node

Protocol and threat model: PAGE.md.
"""

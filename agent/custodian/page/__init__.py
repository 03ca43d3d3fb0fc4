"""The owner's page: everything a homeowner does, in a browser on their own network.

The doorbell serves ciphertext, signed records and a small program. In the owner's browser the program holds the keys,
opens, verifies and signs. The page's server therefore works without any key or picture, and a session alone cannot
approve. File by file:

    certificate_authority   the device's own certificate authority, name-constrained to this one doorbell
    sessions                which browser has paired, with which printed code, until when, and how long a guesser waits
    access_levels           who may use a route.  The page starts only if every route has a level
    request_guard           hosts, origins, fetch metadata, sizes and the headers of every answer
    operations              the doorbell's operations by name: the control socket's own, and the page's few
    documents               pairing, installing the authority, and the shell of the program
    answer_budget           how many bytes of requests and answers are held at a time
    app                     puts these together;  `server` runs it in a thread;  `listener` bounds its connections
    mdns                    announces its name on the local network

The program in the browser is in `agent/web/src`, and is built into `agent/web/static`: a doorbell needs no Node.

Protocol and threat model: PAGE.md.
"""

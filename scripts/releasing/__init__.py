"""Makes releases and the update repository that hands them out (docs/releasing.md, docs/decisions/0051).

    python scripts/releasing --help

Rules: keys of root and targets are used offline, and two people sign. The bytes of a release depend on its commit
alone. A publication becomes visible with its last step, the new timestamp.
"""

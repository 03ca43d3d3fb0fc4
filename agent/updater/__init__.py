"""The updater: fetches releases without any secret, verifies them, and as root verifies them again and installs one.

`fetching` runs as its own user and has the network. `root_step` runs as root, has no network, and believes only what
python-tuf has verified on bytes in root's own folder. docs/updates.md shows the way of an update;
docs/decisions/0051 has the layout of a repository, and 0052 says why it is done this way.
"""

"""Installs, upgrades and removes Doorward, with the standard library and the system's own Python.

    python3 scripts/installation install|uninstall     (or `make install`, `doorward uninstall`)

Rules: a version is a folder that is complete or ignored. One symbolic link decides which version runs, and one rename
replaces the link. If the power fails at any instruction, the old or the new version runs. Only the paths in `Places`
are written.
"""

"""Installs, upgrades and removes Doorward; standard library only, run by the system's own Python.

    python3 scripts/installation install|uninstall     (or `make install`, `doorward uninstall`)

Rules: a version is a folder that is whole or ignored; what runs is decided by one symbolic link, replaced by one
rename; so a cut at any instruction leaves the old version or the new one.  Nothing outside `Places` is written.
"""

"""The append-only log of each view, download, export, share and deletion, and of who asked and approved."""

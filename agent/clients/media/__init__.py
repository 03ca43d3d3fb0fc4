"""Media for clients: joining segments, and opening untrusted media in a confined process."""

"""Media for clients: joining segments, contact sheets, and opening untrusted media in a confined process."""

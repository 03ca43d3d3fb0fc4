"""Drafts of footage requests: written, approved, signed, published, withdrawn."""

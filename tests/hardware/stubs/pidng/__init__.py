"""Stands in for pidng: raw files, which no one makes here."""

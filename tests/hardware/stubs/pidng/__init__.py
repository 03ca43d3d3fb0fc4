"""Stands in for pidng: raw files, which nobody makes here."""

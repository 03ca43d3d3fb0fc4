"""The interface for case-management systems."""

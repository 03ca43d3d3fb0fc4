"""The interface for case-management systems: tokens with which they call the desk, web hooks that call them."""

"""Tips that owners send unasked, and bulletins to owners."""

"""Template filters of the reasons."""

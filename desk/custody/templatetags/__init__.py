"""Template tags of the custody pages."""

"""Pages for everybody: the bulletins of the organisations, to read, to subscribe to and to check. No sign-in."""

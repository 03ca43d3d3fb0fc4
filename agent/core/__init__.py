"""Everything Doorward decides, without touching the world: time, keys and nonces come in, effects go out."""

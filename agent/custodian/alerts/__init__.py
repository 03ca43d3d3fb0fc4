"""The owner's alerts: what waits for which channel, and when it may be fetched by the uplink."""

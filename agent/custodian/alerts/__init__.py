"""The owner's alerts: the queue for each channel, and the time at which the uplink may fetch from it."""

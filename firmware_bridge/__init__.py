"""The doorbell's own hardware: button, lights, chime, switches.  Knows nothing of the agent."""

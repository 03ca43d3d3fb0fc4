"""Tools for your own broker: its certificates, and a private broker on loopback for demo and tests."""

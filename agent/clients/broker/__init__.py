"""Tools for a broker of one's own: its certificates, and a private broker on loopback for demo and tests."""

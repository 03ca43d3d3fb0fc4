"""The age v1 file format, on `cryptography` alone: how every segment and poster is sealed."""

"""Adapters to the operating system that more than one process uses: clocks, disk, logs, privileges, supervision."""

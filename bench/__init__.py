"""Costs of Doorward, each figure beside a peer or a physical limit, in one run: `make bench`."""

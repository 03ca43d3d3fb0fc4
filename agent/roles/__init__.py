"""Composition roots: each builds one process's graph and nothing else."""

"""Reads the operator's configuration once, at start. All other code relies on its types.

`config/doorward.toml` documents every key, and a test compares it with `settings.py` in both directions. The sections
are plain data. The meaning of a zone or a limit is in `core` and `wire`, and each process converts the data.
"""

from agent.config.overlay import sources, violated_limit
from agent.config.reading import load, parse
from agent.config.settings import Configuration

__all__ = ["Configuration", "load", "parse", "sources", "violated_limit"]

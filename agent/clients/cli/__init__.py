"""The commands of owners, requesters and brokers. `agent.cli` finds them if `doorward-clients` is installed."""

"""The commands of owners, requesters and brokers; `agent.cli` finds them where `doorward-clients` is installed."""

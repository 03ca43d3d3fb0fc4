"""Django's PostgreSQL, connected to the primary among several servers (`desk.storage.postgres_servers`)."""

"""Reminders of what waits or ends soon: on the first page, and by mail if desk.toml has a server for it."""

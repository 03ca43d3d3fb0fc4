"""Reminders of what ends soon: on the first page, and by mail if desk.toml has a server for it."""

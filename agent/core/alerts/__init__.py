"""The alerts to an owner's phone: the sentences (`kinds`), the timing (`policy`), the messages (`alert_messages`)."""

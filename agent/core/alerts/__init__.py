"""What the owner is told on their phone: in which words (`kinds`), when (`policy`), in which messages (`parcels`)."""

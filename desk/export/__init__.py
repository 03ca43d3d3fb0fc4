"""Evidence folders, reports, certificates and guest links."""

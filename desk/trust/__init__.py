"""The desk of a trust root: organisations that it vouches for, and the bundles that it signs."""

"""The public page of numbers: requests by organisation, kind, month and area."""

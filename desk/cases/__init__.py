"""Cases, and the answers, clips, notes and verdicts in them."""

"""Sounds and speakers: the doorbell plays an owner's voice, quick replies and tones."""

"""Talk: an owner's voice on its way to the doorbell's speaker. TALK.md has the formats and the rules.

- offers: what the recorder makes for a session, and what the device signs of it
- sizes: bounds, for those who carry frames and cannot open them
- frames: sealed frames, made by a client and opened by the recorder
- jitter: puts frames in order and decides what is played next
- floor: who may talk
"""

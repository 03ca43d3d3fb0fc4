"""Cameras and microphones: one module for each kind, and the encoder, the mask and the thread that they share."""

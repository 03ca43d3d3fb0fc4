"""Answers from the broker, put into their cases."""

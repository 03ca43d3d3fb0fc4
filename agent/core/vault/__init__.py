"""The formats of stored footage: segments sealed to keys that are kept off the device, and the signed list that names
them."""

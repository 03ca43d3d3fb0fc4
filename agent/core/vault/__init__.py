"""What is kept of the door: segments sealed to keys that are not here, and the signed list that names them all."""

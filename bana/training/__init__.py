"""Training: the loops, and the machine and run folder around them."""

"""Which masks to check first: an order, what it is worth, and a page to check them on."""

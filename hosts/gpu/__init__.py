"""Graphics cards of a machine: what its vendor's program says of them, and who holds them."""

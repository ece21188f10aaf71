"""What keeps the rows of engines true: one thread for each host, and one that minds them."""

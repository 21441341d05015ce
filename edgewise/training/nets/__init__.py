"""Networks of our own, as plain torch modules."""

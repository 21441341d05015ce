"""Bytes against accuracy: every method of split learning and every picture codec, on the same pictures, in one record."""

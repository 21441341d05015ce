"""Devices and links as data: every figure with its source, and small synthetic traces of our own."""

"""Tensors and pictures to bytes and back: what crosses the link."""

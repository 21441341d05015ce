"""Samples, preprocessing, answers and metrics, alike in training and on devices; no torch."""

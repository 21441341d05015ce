"""The fault simulator: the real protocol, store, delivery and agent on simulated clock, network and disk. See docs/faults.md."""

"""Delivery: how a version reaches the nodes, is judged there and goes back. `Updater` (device), `Rollouts` (server)."""

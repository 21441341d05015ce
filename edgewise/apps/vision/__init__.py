"""Cameras on devices, an edge server, and the page that shows what was decided and what it cost."""

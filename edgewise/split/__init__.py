"""Split learning: a model cut between device and edge, without training (`quick`) or distilled around a bottleneck (`fit`)."""

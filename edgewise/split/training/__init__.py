"""The torch files of split: bottleneck, student, recipes, and the training that a kill does not change."""

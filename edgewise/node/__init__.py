"""Do: the device agent and the edge server. They run policies, heads and tails as values and know no method."""

"""The benchmark of adaptation: what statistics, learning and the cascade win back in foul weather, and what they cost."""

"""Decide: one cost model, exact choice under a budget, estimators, and the policy that runs on the device."""

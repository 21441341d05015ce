"""The part of the planner that runs on devices: what it believes of the link (`link`), and what it decides (`policy`).

It imports core alone, so that a device needs nothing else.
"""

from edgewise.plan.online.link import LinkEstimate
from edgewise.plan.online.policy import OnlinePolicy, Prices, Situation

__all__ = ["LinkEstimate", "OnlinePolicy", "Prices", "Situation"]

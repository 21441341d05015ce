"""The bundle that a device is started with: taken as proved where it has no version yet, or only one that came in the same way.

A version that a site signed goes before it: else every restart would undo what was rolled out. So where a person gives another
bundle than before, a sentence says which version runs, and what to do. It does not judge the bundle.
"""

from __future__ import annotations

from edgewise.core.release import FileEntry
from edgewise.node.delivery.courier import Courier, Files
from edgewise.node.delivery.slots import Slot, Slots
from edgewise.node.delivery.words import digest


def take(slots: Slots, courier: Courier, model: str, address: str, files: Files, version: int, now: float) -> str:
    """Make `files` (by name, the manifest too) the version in use, or say why not; empty where there is nothing to say."""
    active, standby = slots.slot(model, "active"), slots.slot(model, "standby")
    fact = f"given {model}"
    known = slots.fact(fact)
    if active is None or (not active.digest and active.address != address):
        entries = {name: FileEntry(digest(data), len(data)) for name, data in files.items()}
        courier.store(entries, files)
        slots.fill("active", Slot(model, version, address, entries, proved=True, since=now))
    elif known is not None and known != address.encode() and all(s is None or s.address != address for s in (active, standby)):
        return (
            f"The given bundle {address[:8]} is not used: version {active.version} of {model} ({active.address[:8]}) runs, as the"
            " site assigned. To run the given one, publish it at the server, or remove the device's state folder and start again."
        )
    if known != address.encode():
        slots.note(fact, address.encode())
    return ""

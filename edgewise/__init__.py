"""edgewise: decide what runs where between devices and an edge server, do it, and measure it in the same units.

The command is `edgewise`; from Python, import the rooms: `edgewise.core` for the words, `edgewise.plan` to decide,
`edgewise.graph` to cut models, `edgewise.node` to run. docs/architecture.md is the map.
"""

__version__ = "0.1.0"

"""How devices and an edge server talk: frames, sessions without I/O, identity, transport, and links to try them on."""

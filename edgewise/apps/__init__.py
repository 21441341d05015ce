"""What people start: each application wires rooms into nodes, with its page."""

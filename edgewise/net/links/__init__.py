"""Links to try things on: in virtual time, and between real sockets."""

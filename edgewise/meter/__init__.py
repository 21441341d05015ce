"""Time, memory and joules: measured where an instrument exists, modelled where none does, and always said which."""

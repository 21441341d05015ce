"""What adaptation does in torch: renormalisation, the step, the teacher, and the methods that are compared."""

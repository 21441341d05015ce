"""Adapt: devices only infer, a few samples go up, small updates of normalisation come back and are proved before they are used."""

"""Adapt: devices only infer, a few samples go up; small updates of normalisation come back, proved before they are used."""

"""Every error edgewise raises on purpose, drawn as one tree.

    EdgewiseError
    ├── InputError          something from outside is not what was agreed
    │   ├── FrameError      bytes of a frame: truncated, oversized, flipped, out of order, wrong stream
    │   ├── TensorError     values or shape of a tensor: NaN, a lying shape, a wrong dtype
    │   ├── ImageError      a picture that is none, or is too large
    │   ├── ModelError      a model or bundle that cannot be used: unknown operator, wrong hash, bad cut
    │   ├── ConfigError     a file or option of the user: malformed TOML, unknown field, bad value
    │   └── SourceError     a camera, folder or clip that ends, vanishes or never was
    ├── LinkError           the other side cannot be reached or went away
    │   └── IdentityError   no certificate, a wrong one, a wrong token; a signature that is not to be trusted
    ├── StoreError          a disk that is full, read-only or damaged
    ├── DeviceError         an accelerator that is not there, or went away while it was used
    ├── MeterError          an instrument is not there, or cannot be read
    ├── UnknownFigure       a profile holds no such figure (and unknown stays unknown)
    └── BudgetError         nothing fits the budget

An error is a sentence for the person who reads it: what, got, allowed, next step.
"""

from __future__ import annotations


class EdgewiseError(Exception):
    """`what` went wrong, what was `got`, what is `allowed`, and the `hint` for the next step."""

    def __init__(self, what: str, *, got: object = None, allowed: object = None, hint: str | None = None) -> None:
        self.what, self.got, self.allowed, self.hint = what, got, allowed, hint
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        sentence = "; ".join(parts).rstrip(".") + "."
        super().__init__(f"{sentence} {hint}" if hint else sentence)


class InputError(EdgewiseError):
    pass


class FrameError(InputError):
    pass


class TensorError(InputError):
    pass


class ImageError(InputError):
    pass


class ModelError(InputError):
    pass


class ConfigError(InputError):
    pass


class SourceError(InputError):
    pass


class LinkError(EdgewiseError):
    pass


class IdentityError(LinkError):
    pass


class StoreError(EdgewiseError):
    pass


class DeviceError(EdgewiseError):
    pass


class MeterError(EdgewiseError):
    pass


class UnknownFigure(EdgewiseError):
    pass


class BudgetError(EdgewiseError):
    pass

"""A teacher in torch as an ONNX file, so that who answers frames can ask it without torch: pictures in, scores of classes out.

    picture (batch, height, width, 3) uint8 → scaled and normalised by its look → net → scores (batch, class)

What the exporter cannot write is a sentence that says how to go on. It holds the teacher as it is now: one that gets better
on what devices send is not followed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgewise.adapt.training.student import scores
from edgewise.core.decoding import Classes, Decoding
from edgewise.core.errors import ModelError
from edgewise.graph.picture import Look
from edgewise.training.export import exported

SCORES = "scores"


class Speaking(nn.Module):
    """`net` behind its own preprocessing; `raw` where it takes bytes itself."""

    def __init__(self, net: nn.Module, look: Look, decoding: Decoding | None, raw: bool) -> None:
        super().__init__()
        self.net, self._look, self._decoding, self._raw = net, look, decoding, raw
        self.register_buffer("mean", torch.tensor(look.mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(look.std, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        if self._raw:
            return scores(self.net(picture), self._decoding)
        x = picture.permute(0, 3, 1, 2).float() * self._look.scale
        x = x.flip(1) if self._look.bgr else x
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return scores(self.net((x - mean) / deviation), self._decoding)


def spoken(net: nn.Module, look: Look, decoding: Decoding | None = None, raw: bool = False) -> bytes:
    """The ONNX file of a teacher of classes; ModelError for one of maps, or that cannot be exported."""
    if decoding is not None and not isinstance(decoding, Classes):
        raise ModelError("a teacher of maps does not answer devices", got=type(decoding).__name__.lower(), allowed="classes")
    example = torch.zeros(2, look.height, look.width, 3, dtype=torch.uint8)
    try:
        return exported(Speaking(net, look, decoding, raw), example, "picture", [SCORES])
    except (RuntimeError, TypeError, ValueError, torch.onnx.errors.OnnxExporterError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Say --cascade 0, so that it teaches alone; or teach by an ONNX file."
        raise ModelError("a teacher in torch cannot be made into ONNX", got=first[:200], hint=hint) from None

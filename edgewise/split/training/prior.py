"""What a bottleneck's codes will cost and what rounding will do to them, as training hears of both.

    y = x · gain          latents in units of a code: one gain, or one a channel and rate where a student serves several rates
    ỹ = y + U(−½, ½)      in training: rounding that has a gradient (Ballé et al. 2017; paper 6, §3)
    ŷ = round(y − m) + m  afterwards, about the median m of each channel: its commonest code then has no border near it
    R = −Σ log2 p(ỹ)      bits of a picture; p is a mixture of three logistics a channel, over a code's width

`Prior` is that mixture (ours): it stands for the static tables that the coder will have, and learns
beside the student. `Noisy` stands between encoder and decoder while a student learns. Where `rounds` is set, the decoder is given
ŷ, its gradient passed straight through, while R still hears ỹ: late in training that closes the gap between noise and rounding,
which is widest where nearly all codes are the median (ours, measured).

It does not know the loss (`ladder.py`), nor the codes of the finished student (`frozen.py`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MIXED = 3
LEAST = 1e-12  # of a probability: nothing costs more than 40 bits
THIN = 0.02  # of a code's width: no logistic is narrower
GAIN = 3.0  # at first
HALVINGS = 40  # of the interval in which a median is sought
FAR = 4096.0  # codes: where no median is


class Prior(nn.Module):
    """A distribution for each of `rates` × `channels`, in units of codes."""

    def __init__(self, channels: int, rates: int = 1) -> None:
        super().__init__()
        self.middle = nn.Parameter(torch.linspace(-2, 2, MIXED).repeat(rates, channels, 1))
        self.narrow = nn.Parameter(torch.full((rates, channels, MIXED), math.log(1.5)))
        self.share = nn.Parameter(torch.zeros(rates, channels, MIXED))

    def mass(self, y: Tensor, rate: int = 0) -> Tensor:
        """The probability of each code of width 1 about `y` (batch, channels, rows, columns).

        σ(z + h) − σ(z − h) = sinh h / (cosh z + cosh h), written so that nothing overflows or cancels: z and h are the distance
        from a logistic's middle and half a code, in units of its scale.
        """
        scale = self.narrow[rate].exp() + THIN
        half = 0.5 / scale
        share = functional.softmax(self.share[rate], -1) * half.tanh()
        small = (-half).exp() / (1 + (-2 * half).exp())  # 1 / (2 cosh h)
        total = torch.zeros_like(y)
        for k in range(MIXED):
            middle, width, part, least = (v[:, k, None, None] for v in (self.middle[rate], scale, share, small))
            e = (-((y - middle) / width).abs()).exp()
            total = total + part * e / (e + least * (1 + e * e))
        return total

    def bits(self, y: Tensor, rate: int = 0) -> Tensor:
        """Bits of a picture of `y` (batch, channels, rows, columns), mean over the batch."""
        with torch.autocast(y.device.type, enabled=False):
            return -torch.log2(self.mass(y.float(), rate).clamp_min(LEAST)).sum() / len(y)

    @torch.no_grad()
    def medians(self) -> Tensor:
        """(rates, channels): where half of the mixture lies below."""
        scale = self.narrow.exp() + THIN
        share = functional.softmax(self.share, -1)
        low = torch.full(self.middle.shape[:2], -FAR, device=self.middle.device)
        high = -low
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = (share * torch.sigmoid((middle[..., None] - self.middle) / scale)).sum(-1)
            low, high = torch.where(below < 0.5, middle, low), torch.where(below < 0.5, high, middle)
        return (low + high) / 2


class Noisy(nn.Module):
    """Gain, noise and prior of a bottleneck of `channels`, at `rates` rates of which `rate` is the present one.

    `bits` is what a picture of the last batch took. `centre` fixes the medians about which is rounded; call it before `rounds`.
    """

    median: Tensor

    def __init__(self, channels: int, rates: int = 1) -> None:
        super().__init__()
        self.prior = Prior(channels, rates)
        falling = torch.arange(rates, dtype=torch.float32)[:, None] * -0.25 * math.log(2)  # as gains fell when β doubled
        self.gain = nn.Parameter(math.log(GAIN) + falling.repeat(1, channels if rates > 1 else 1))
        self.register_buffer("median", torch.zeros(rates, channels))
        self.rates, self.rate, self.rounds = rates, 0, False
        self.bits = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gain[self.rate].exp()[:, None, None]
        y = x.float() * gain
        noisy = y + (torch.rand_like(y) - 0.5)
        self.bits = self.prior.bits(noisy, self.rate)
        if self.rounds:
            middle = self.median[self.rate][:, None, None]
            noisy = y + (torch.round(y - middle) + middle - y).detach()
        return noisy / gain

    def centre(self) -> None:
        """Take the medians from the prior as it is now."""
        self.median.copy_(self.prior.medians())

    @torch.no_grad()
    def steps(self, rate: int = 0) -> Tensor:
        """Width of a code in units of the encoder's output (channels,)."""
        return (-self.gain[rate]).exp().expand(self.median.shape[1]).clone()

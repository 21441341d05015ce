"""Boards that nobody has here: seconds of this machine times ratios of quoted runs to the same networks, timed in the same run.

    seconds on the board = seconds here · (quoted seconds of an anchor) / (seconds of that anchor here)

The anchor of networks is ResNet-50, dense convolutions as all our networks are; MobileNetV2, thin ones, gives the other end of
the interval. Coders (NumPy, Pillow) run on one thread of the board's processor and are charged its ratio. What is `this`
is measured, everything else is modelled, and every ratio names the profile's row that it stands on (`edgewise/profiles`).

    board         networks by                                  coders by
    pi4           ArmNN on four cores                           the same ratio
    jetson_nano   TensorRT in float32, ResNet-50 at 256 × 256   pi4's ratio, times what one laboratory's TFLite says of the two
    agx_orin      onnxruntime on its processor                  the same ratio
    rtx4090_pc    TensorRT (an edge server)                     this machine's

It does not know what small networks cost a GPU before they begin (a launch for every layer), heat, or memory that does not
suffice. Joules come from a profile's idle and active power; a board with no idle power in any source has no joules.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bench.rates.timing import Timed
from edgewise.core.device import Device
from edgewise.profiles.load import load_device

ANCHORS = ("ResNet-50", "ResNet-50, 256×256", "MobileNetV2")  # pieces that are timed beside all others
DEVICES = ("this", "pi4", "jetson_nano", "agx_orin")
SERVER = "rtx4090_pc"
UNSURE = 2.0  # the interval of a coder's ratio, either way
THIS = Device("this", "this machine, one thread", "device")


class Ratio(Struct, frozen=True, forbid_unknown_fields=True):
    """How many times longer than here, from `low` to `high`."""

    value: float
    low: float
    high: float


class Effort(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of one thread of this machine: in networks, and in coders."""

    nets: float = 0.0
    coders: float = 0.0


class Board(Struct, frozen=True):
    """A machine with its two ratios; `told` says what they stand on."""

    device: Device
    nets: Ratio
    coders: Ratio
    told: str

    @property
    def name(self) -> str:
        return self.device.name

    def seconds(self, effort: Effort) -> tuple[float, float, float]:
        """The effort here: middle, low, high.

        >>> board("this", {}).seconds(Effort(0.5, 0.25))
        (0.75, 0.75, 0.75)
        """
        return (
            effort.nets * self.nets.value + effort.coders * self.coders.value,
            effort.nets * self.nets.low + effort.coders * self.coders.low,
            effort.nets * self.nets.high + effort.coders * self.coders.high,
        )


def board(name: str, here: Mapping[str, Timed]) -> Board:
    """A board by its profile's name; `here` holds the anchors' times on this machine (none are needed for `this`)."""
    same = Ratio(1.0, 1.0, 1.0)
    if name == "this":
        return Board(THIS, same, same, "measured here, one thread")
    device, own = load_device(name), {n: here[n].seconds.busy for n in ANCHORS}
    dense, thin = own["ResNet-50"], own["MobileNetV2"]
    if name == "pi4":
        return _alike(device, _quoted(device, "ResNet-50", "ArmNN") / dense, _quoted(device, "MobileNetV2", "ArmNN") / thin)
    if name == "jetson_nano":
        pi = load_device("pi4")
        processor = _quoted(device, "MobileNetV2", "TFLite CPU") / _quoted(pi, "MobileNetV2", "TFLite, deepedgebench")
        slow = _unsure(_quoted(pi, "ResNet-50", "ArmNN") / dense * processor)
        at = _quoted(device, "ResNet-50, 256×256", "TensorRT") / own["ResNet-50, 256×256"]
        nets = _between(at, _quoted(device, "MobileNetV2", "TensorRT") / thin)
        told = "ResNet-50 at 256 × 256 and MobileNetV2 on TensorRT; coders as on pi4, by TFLite's MobileNetV2 on both processors"
        return Board(device, nets, slow, told)
    if name == "agx_orin":
        at = _quoted(device, "ResNet-50", "ONNX Runtime CPU") / dense
        return Board(device, _unsure(at), _unsure(at), "ResNet-50 on ONNX Runtime CPU")
    at = _quoted(device, "ResNet-50", "TensorRT") / dense
    return Board(device, _unsure(at), same, "ResNet-50 on TensorRT; coders as here")


def _alike(device: Device, dense: float, thin: float) -> Board:
    return Board(device, _between(dense, thin), _unsure(dense), "ResNet-50 and MobileNetV2 on ArmNN")


def _between(dense: float, thin: float) -> Ratio:
    return Ratio(dense, min(dense, thin), max(dense, thin))


def _unsure(value: float) -> Ratio:
    return Ratio(value, value / UNSURE, value * UNSURE)


def _quoted(device: Device, model: str, runtime: str) -> float:
    return device.run(model, runtime).latency.value

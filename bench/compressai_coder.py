"""CompressAI's entropy coder, run by its own interpreter beside ours (`bench.split_coder`): prepare once, then a round a line.

It needs torch and compressai alone. compressai imports torchvision and torch_geometric for pictures and point clouds, and neither
loads beside a CPU build of torch; its coder uses nothing of them, so that they are stood in for. The distributions are those of
the counts that it is given, quantised by compressai's own function.

    line in     nothing but a newline: one round
    line out    {"encode": s, "decode": s, "bytes": n, "errors": n}; the first line says what is there
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
import time
from unittest import mock

ABSENT = ("torchvision", "torch_geometric")


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Any module of a package that cannot be imported, as an empty shell."""

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ABSENT else None

    def create_module(self, spec):
        shell = mock.MagicMock(name=spec.name)
        shell.__path__, shell.__spec__ = [], spec
        return shell

    def exec_module(self, module):
        pass


def main(path: str) -> None:
    sys.meta_path.insert(0, Absent())
    import compressai
    import numpy as np
    import torch
    from compressai._CXX import pmf_to_quantized_cdf
    from compressai.entropy_models import EntropyBottleneck

    torch.set_num_threads(1)
    with np.load(path) as file:
        values, counts = torch.from_numpy(file["values"]), file["counts"]  # (1, channels, height, width), (channels, letters)
    channels, letters = counts.shape
    model = EntropyBottleneck(channels).eval()
    tables = torch.zeros(channels, letters + 2, dtype=torch.int32)
    for row, count in zip(tables, counts):
        chance = np.append(count, 0.5) / (count.sum() + 0.5)  # the last is its escape
        row[:] = torch.tensor(pmf_to_quantized_cdf(chance.tolist(), 16), dtype=torch.int32)
    model._quantized_cdf = tables
    model._cdf_length = torch.full((channels,), letters + 2, dtype=torch.int32)
    model._offset = torch.zeros(channels, dtype=torch.int32)
    model.quantiles.data.zero_()  # medians
    print(json.dumps({"compressai": compressai.__version__, "torch": torch.__version__, "numpy": np.__version__}), flush=True)
    with torch.no_grad():
        for _ in sys.stdin:
            start = time.perf_counter()
            strings = model.compress(values)
            between = time.perf_counter()
            found = model.decompress(strings, values.shape[-2:])
            end = time.perf_counter()
            errors = int((found != values).sum())
            print(
                json.dumps({"encode": between - start, "decode": end - between, "bytes": len(strings[0]), "errors": errors}),
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1])

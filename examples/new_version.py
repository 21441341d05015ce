"""A new version of the shipped bundle, to try delivery with: `python examples/new_version.py OUT [--spoil]`.

It moves the last bias of the tail by a hair: answers stay the same. With `--spoil` it moves that of the device's own model too,
and so far that nothing is seen any more, which a guard on quality notices. Real versions come of training; see docs/deltas.md.
"""

import sys
from pathlib import Path

import numpy as np

import edgewise
from edgewise.core.delta import Change, Delta, Rows
from edgewise.runtime.bundle import bundle_files
from edgewise.runtime.update import manifest_of, parameters, updated


def main(out: Path, spoil: bool) -> None:
    old = bundle_files(Path(edgewise.__file__).parent / "bundles" / "vehicles")
    manifest = manifest_of(old)
    paths, step = (("tail.maps.out.bias", "local.maps.out.bias"), -100.0) if spoil else (("tail.maps.out.bias",), 1e-4)
    changes: dict[str, Change] = {}
    for path in paths:
        bias = parameters(old, manifest)[path]
        changes[path] = Rows(np.arange(len(bias)), np.full_like(bias, step))
    new = updated(old, Delta(manifest.address, manifest.address, "by hand", changes))
    out.mkdir(parents=True)
    for name, data in new.items():
        (out / name).write_bytes(data)
    print(f"{out}: {manifest_of(new).address[:8]}, made of {manifest.address[:8]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--spoil" in sys.argv)

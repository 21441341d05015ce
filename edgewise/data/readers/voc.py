"""Pascal VOC: one XML a picture; corners in pixels. Objects marked `difficult` stand in `ignored`, as VOC scores them.

Corners are taken as the edges of the box. The original VOC counts pixels from 1 and includes the last one, most tools that
write its form today do not; the difference is one pixel.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from xml.etree import ElementTree

from edgewise.core.answer import Box
from edgewise.core.errors import SourceError
from edgewise.data.labelled import Labelled, Labels, clipped, finite, kept, label_text, malformed
from edgewise.data.pack import Pack

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_SHAPE = "Pascal VOC: <size> with width and height, <object> with name and bndbox (xmin, ymin, xmax, ymax)"


def read_voc(pack: Pack, annotations: str, folder: str, names: list[str] | None = None) -> Labels:
    """All XML below `annotations` of the pack, or those of the stems `names`; pictures lie in `folder`."""
    inside = annotations.rstrip("/") + "/"
    files = [n for n in pack.names if n.startswith(inside) and n.lower().endswith(".xml")]
    if names is not None:
        wanted = set(names)
        files = [n for n in files if PurePosixPath(n).stem in wanted]
    if not files:
        raise SourceError("there are no VOC labels", got=f"{annotations} in {pack.path}", allowed="a folder of .xml files")
    skipped: Counter[str] = Counter()
    return Labels(tuple(_picture(pack, name, folder, skipped) for name in files), dict(+skipped))


def _picture(pack: Pack, name: str, folder: str, skipped: Counter[str]) -> Labelled:
    try:
        root = ElementTree.fromstring(label_text(pack, name))
    except ElementTree.ParseError as error:
        raise malformed(name, error, _SHAPE) from None
    width, height = (int(_number(root, f"size/{side}", name)) for side in ("width", "height"))
    if width < 1 or height < 1:
        raise malformed(name, f"a size of {width} × {height}", "1 pixel or more")
    file = root.findtext("filename") or f"{PurePosixPath(name).stem}.jpg"
    scored: list[Box | None] = []
    difficult: list[Box | None] = []
    for thing in root.iter("object"):
        corners = finite((_number(thing, f"bndbox/{c}", name) for c in _CORNERS), name)
        box = clipped(corners, (width, height), 1.0, thing.findtext("name") or "")
        (difficult if thing.findtext("difficult") == "1" else scored).append(box)
    identity = f"{folder.rstrip('/')}/{PurePosixPath(file.replace(chr(92), '/')).name}"
    return Labelled(identity, (width, height), kept(scored, skipped), kept(difficult, skipped))


def _number(element: ElementTree.Element, path: str, name: str) -> float:
    text = element.findtext(path)
    try:
        return float(text or "")
    except ValueError:
        raise malformed(name, f"{path} = {text!r}", _SHAPE) from None

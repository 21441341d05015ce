"""A vision model of Hugging Face `transformers` by its configuration, for `--model config.json` and `--model hf:resnet`.

    config.json or its folder     the class under `architectures`, or that of its type which classifies (segments, detects)
    hf:TYPE                       the same of a type by name, with its own defaults

Weights are as the library draws them, from a seed that is always the same, or the person's own file (`--weights
model.safetensors`, which `save_pretrained` writes beside its config.json). Nothing is downloaded, and no code that lies beside a
configuration is run: a backbone or a class that is not in the library is refused in a sentence. `preprocessor_config.json` beside
the configuration says what the model's pictures look like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import nn

from edgewise.core.errors import ConfigError, ModelError
from edgewise.training.paths import nearest

PREFIX = "hf:"
SEEDED = 0  # of drawn weights: a call that is made again means the same network
TASKS = (
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES",
    "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
)
NAMED = ("ForImageClassification", "ForSemanticSegmentation", "ForObjectDetection", "ForImageClassificationWithTeacher")


class Seen(Struct, frozen=True):
    """What a configuration says of pictures (size, 0: nothing; scale, mean and deviation by channel) and the classes' names."""

    height: int = 0
    width: int = 0
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] = ()


def configured(model: str) -> bool:
    """Whether `--model` names a configuration."""
    place = Path(model)
    return model.startswith(PREFIX) or place.name.lower().endswith(".json") or (place / "config.json").is_file()


def network(model: str, classes: int = 0) -> nn.Module:
    """The network that a configuration describes, a type alone with so many `classes` (0: its default); errors are sentences."""
    library = _library()
    said = _said(model)
    if classes and model.startswith(PREFIX):
        said["num_labels"] = classes
    kind = str(said.pop("model_type", ""))
    known = _classes(library)
    if kind not in known:
        raise ModelError(
            "there is no such vision model in transformers",
            got=repr(kind) if kind else f"no model_type in {model}",
            allowed=", ".join(nearest(kind, sorted(known))),
            hint="A network of your own is named as package.module:function.",
        )
    wanted = next((n for n in said.get("architectures") or () if str(n).endswith(NAMED)), known[kind])
    found = getattr(library, str(wanted), None)
    if found is None:
        raise ModelError("transformers has no such class", got=wanted, allowed=known[kind])
    for word in ("auto_map", "quantization_config", "torch_dtype", "dtype", "transformers_version"):
        said.pop(word, None)
    _whole(said, model)

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEEDED)
            return found(library.AutoConfig.for_model(kind, **said))  # type: ignore[no-any-return]

    return _built(build, model)


def seen(model: str) -> Seen:
    """What the configuration and the file beside it say of pictures and classes."""
    if not configured(model):
        return Seen()
    said = _said(model)
    place = _place(model)
    beside = place.with_name("preprocessor_config.json") if place is not None else None
    looks = _read(beside) if beside is not None and beside.is_file() else {}
    size = looks.get("crop_size") if looks.get("do_center_crop") else looks.get("size", looks.get("crop_size"))
    height, width = _size(size or said.get("image_size"))
    plain = looks.get("do_normalize", True)
    names = said.get("id2label") or {}
    labels = tuple(str(names[k]) for k in sorted(names, key=int)) if all(str(k).isdigit() for k in names) else ()
    return Seen(
        height,
        width,
        float(looks["rescale_factor"]) if "rescale_factor" in looks else None,
        _numbers(looks.get("image_mean")) if plain else None,
        _numbers(looks.get("image_std")) if plain else None,
        () if any(label.startswith("LABEL_") for label in labels) else labels,
    )


def _library() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "transformers":
            raise
        raise ConfigError(
            "a model by its configuration needs the package transformers, which is not installed",
            allowed="the [hf] extra",
            hint="Install it: pip install -c constraints.txt 'edgewise[hf]'",
        ) from None
    return transformers


def _classes(library: Any) -> dict[str, str]:
    """Type → class of the library, for every vision model that classifies, else segments, else detects."""
    known = library.models.auto.modeling_auto
    found: dict[str, str] = {}
    for task in TASKS:
        for kind, name in getattr(known, task).items():
            found.setdefault(kind, name if isinstance(name, str) else name[0])
    found.pop("timm_wrapper", None)
    return found


def _place(model: str) -> Path | None:
    """The file of a configuration; None where a type alone is named."""
    if model.startswith(PREFIX):
        return None
    return Path(model) / "config.json" if Path(model).is_dir() else Path(model)


def _said(model: str) -> dict[str, Any]:
    place = _place(model)
    if place is not None:
        return dict(_read(place))
    kind = model.removeprefix(PREFIX)
    if "/" in kind:
        raise ConfigError(
            "a model of a hub is not fetched: nothing is downloaded",
            got=model,
            allowed="hf:TYPE, as in hf:resnet, or the path of a config.json",
            hint="Bring its config.json and model.safetensors, and say --model config.json --weights model.safetensors.",
        )
    return {"model_type": kind}


def _read(place: Path) -> Mapping[str, Any]:
    if not place.is_file():
        raise ConfigError("there is no such configuration", got=place, allowed="the path of a config.json")
    try:
        said = json.loads(place.read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError("a configuration is malformed", got=f"{place} ({error})", allowed="JSON") from None
    if not isinstance(said, dict):
        raise ConfigError("a configuration is malformed", got=f"{type(said).__name__} in {place}", allowed="a JSON object")
    return said


def _whole(said: dict[str, Any], model: str) -> None:
    """No part of it may come from elsewhere."""
    if said.get("use_timm_backbone") or said.get("backbone"):
        raise ModelError(
            "a configuration takes its backbone from elsewhere",
            got=f"backbone {said.get('backbone')!r} in {model}",
            allowed="models that stand in transformers as a whole",
            hint="Build it in a module of your own and name that: package.module:function.",
        )
    if "use_pretrained_backbone" in said:
        said["use_pretrained_backbone"] = False


def _built(build: Callable[[], nn.Module], model: str) -> nn.Module:
    """What a configuration gives; whatever the library raises at its fields is said."""
    try:
        return build()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # the border to foreign code: it checks fields in classes and errors of its own
        words = " ".join(str(error).split())[:300]
        raise ConfigError("transformers cannot build the model", got=f"{model} ({type(error).__name__}: {words})") from error


def _size(said: Any) -> tuple[int, int]:
    if isinstance(said, Mapping):
        edge = said.get("shortest_edge", 0)
        return int(said.get("height", edge) or 0), int(said.get("width", edge) or 0)
    if isinstance(said, (list, tuple)) and len(said) == 2:
        return int(said[0]), int(said[1])
    return (int(said), int(said)) if isinstance(said, int) else (0, 0)


def _numbers(said: Any) -> tuple[float, ...] | None:
    return tuple(float(v) for v in said) if isinstance(said, (list, tuple)) and said else None

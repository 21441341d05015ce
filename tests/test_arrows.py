"""The arrows between the rooms, walked over syntax trees: who may import whom, and where torch may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edgewise"
METHODS = {"split", "finetune", "federate", "experts", "adapt", "traffic"}
BELOW = {"core", "profiles", "data", "graph", "codec", "meter"}
METHOD_MAY = BELOW | {"runtime", "plan", "training"}

# room -> rooms that it may import (itself always). `plan.online` is a room of its own: the part that runs on a device.
MAY: dict[str, set[str]] = {
    "core": set(),
    "profiles": {"core"},
    "data": {"core"},
    "graph": {"core"},
    "codec": {"core"},
    "meter": {"core"},
    "web": {"core"},
    "bundles": set(),
    "runtime": BELOW,
    "plan": BELOW | {"runtime"},
    "plan.online": {"core"},
    "training": BELOW | {"runtime"},
    "net": {"core", "codec", "runtime", "meter", "data", "profiles", "plan.online"},
    "node": {"core", "codec", "runtime", "meter", "data", "profiles", "plan.online", "net"},
    "apps": METHOD_MAY | METHODS | {"plan.online", "net", "node", "web", "bundles"},
    **dict.fromkeys(METHODS, METHOD_MAY),
}


def room(module: str) -> str:
    parts = module.split(".")
    if len(parts) < 2:
        return ""
    return "plan.online" if parts[1:3] == ["plan", "online"] else parts[1]


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports: all of them, or only those that run when it is imported."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(a.name for a in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import; rooms are named in full"
                found.add(child.module or "")
                found.update(f"{child.module}.{a.name}" for a in child.names)
            if everywhere or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


def modules() -> list[tuple[str, Path]]:
    return [(".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts), p) for p in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda x: x if isinstance(x, str) else "")
def test_arrow(name: str, path: Path) -> None:
    here = room(name)
    if name.split(".")[-1] == "__init__" and here in ("__init__", ""):
        here = ""
    targets = {room(m) for m in imports(path) if m.startswith("edgewise.") and not m.endswith("__version__")}
    if here == "cli" or name == "edgewise.__main__":
        return  # the command may reach every app
    if name == "edgewise.__init__":
        assert not {m for m in imports(path, everywhere=False) if m.startswith("torch")}
        return
    assert here in MAY, f"{name} is in no room that the design knows; name its arrows here"
    allowed = MAY[here] | {here} | ({"plan.online"} if here == "plan" else set())
    assert targets <= allowed, f"{name} imports {sorted(targets - allowed)}, which {here} may not"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda x: x if isinstance(x, str) else "")
def test_torch_lives_in_its_room(name: str, path: Path) -> None:
    torch = {m for m in imports(path) if m.split(".")[0] == "torch"}
    here = name.split(".")[1:3]
    at_home = here[:1] == ["training"] or (here[:1] and here[0] in METHODS and here[1:] == ["training"])
    assert not torch or at_home, f"{name} imports {sorted(torch)}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "adapt").glob("*.py")), ids=lambda p: p.stem)
def test_adapting_is_imported_without_its_torch_room(path: Path) -> None:
    """A device imports the files beside `adapt/training`, and has neither torch nor what only a server installs."""
    absent = ("torch", "onnx", "scipy", "cv2", "edgewise.training", "edgewise.adapt.training")
    assert not {m for m in imports(path, everywhere=False) for a in absent if f"{m}.".startswith(f"{a}.")}


def test_the_rooms_of_adapting_are_known_by_their_names() -> None:
    assert room("edgewise.adapt.training.methods.tent") == "adapt"
    assert MAY["adapt"] == METHOD_MAY and MAY["adapt"] >= {"core", "data", "graph", "codec", "runtime", "plan", "training"}


def test_the_command_imports_nothing_heavy() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "scipy", "cv2", "matplotlib", "aiohttp", "plotly"}
    for file in (PACKAGE / "cli").glob("*.py"):
        assert not {m.split(".")[0] for m in imports(file, everywhere=False)} & heavy


def test_a_method_never_imports_another() -> None:
    for method in METHODS:
        assert not MAY[method] & (METHODS | {"net", "node", "apps"})

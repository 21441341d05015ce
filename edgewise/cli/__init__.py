"""The edgewise command: one verb a job. A verb imports its room when it is called, so that `--help` is quick.

A verb reads its options, calls one function and shows what that returns; nothing is decided here. Errors of ours end as one
sentence on standard error and exit status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from edgewise import __version__
from edgewise.cli import adapt, codec, delivery, faults, job, keys, models, split, split_fit, split_join, split_make
from edgewise.cli.screen import complain, console
from edgewise.core.errors import EdgewiseError

VERBS: dict[str, Callable[..., int]] = {
    "demo": job.demo,
    "serve": job.serve,
    "run": job.run,
    "publish": delivery.publish,
    "rollout": delivery.rollout,
    "pause": delivery.pause,
    "resume": delivery.resume,
    "revert": delivery.revert,
    "nodes": delivery.nodes,
    "move": delivery.move,
    "audit": delivery.audit,
    "plan": models.plan,
    "calibrate": models.calibrate,
    "doctor": models.doctor,
    "faults": faults.faults,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., int]]]] = {
    "adapt": (
        "Follow the weather: what adaptation would do on recorded pictures, and what it did on a server.",
        {"replay": adapt.replay, "report": adapt.report},
    ),
    "codec": ("The entropy coder of features.", {"check": codec.check}),
    "graph": ("Look into a model and cut it.", {"show": models.graph_show, "cut": models.graph_cut}),
    "keys": (
        "Certificates of nodes, signing keys and the trust, tokens of people.",
        {
            "init": keys.init,
            "issue": keys.issue,
            "revoke": keys.revoke,
            "list": keys.list_,
            "token": keys.token,
            "trust": keys.trust,
            "make": keys.make,
        },
    ),
    "split": (
        "Cut a model between device and edge, without training or with it, and report what that is worth.",
        {
            "quick": split_make.quick,
            "fit": split_fit.fit,
            "join": split_join.join,
            "filter": split.filter,
            "tables": split.tables,
            "report": split.report,
        },
    ),
    "train": ("Train what edgewise ships.", {"vehicles": models.train_vehicles}),
}
EXTRAS = {"apsw": "faults", "cv2": "camera", "torch": "train", "onnxscript": "train", "transformers": "hf"}


def main(words: list[str] | None = None) -> None:
    """Read the command line, do it, exit with its status."""
    try:
        status = dispatch(list(sys.argv[1:] if words is None else words))
    except EdgewiseError as error:
        complain(str(error))
        status = 1
    except ModuleNotFoundError as error:
        complain(_missing(error))
        status = 1
    except OSError as error:
        complain(f"a file cannot be used; got {error}.")
        status = 1
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


def dispatch(words: list[str]) -> int:
    """Call the verb that `words` name; its status."""
    config = (tyro.conf.FlagCreatePairsOff,)
    if words and words[0] in GROUPS:
        about, verbs = GROUPS[words[0]]
        prog = f"edgewise {words[0]}"
        if words[1:] in (["-h"], ["--help"]):
            about, verbs = f"{about} More of each: {prog} VERB --help", {name: _brief(verb) for name, verb in verbs.items()}
        return int(tyro.extras.subcommand_cli_from_dict(verbs, prog=prog, description=about, args=words[1:], config=config))
    if words == ["--version"]:
        console().print(f"edgewise {__version__}")
        return 0
    about = "Decide what runs where between devices and an edge server; do it; measure it in the same units."
    verbs = {**VERBS, **{name: _group(name, text) for name, (text, _) in GROUPS.items()}}
    words = words or ["--help"]
    if words[0] in ("-h", "--help"):
        about = f"{about} More of each: edgewise VERB --help"
        verbs = {name: _brief(verb) for name, verb in verbs.items()}
    return int(tyro.extras.subcommand_cli_from_dict(verbs, prog="edgewise", description=about, args=words, config=config))


def _group(name: str, text: str) -> Callable[[], int]:
    def group() -> int:
        return dispatch([name, "--help"])

    group.__doc__ = f"{text} (edgewise {name} --help)"
    return group


def _brief(verb: Callable[..., int]) -> Callable[[], int]:
    """A verb's place in the list of all: its first paragraph, so that the list fits a screen."""

    def brief() -> int:
        return 0

    brief.__doc__ = (verb.__doc__ or "").partition("\n\n")[0]
    return brief


def _missing(error: ModuleNotFoundError) -> str:
    extra = EXTRAS.get((error.name or "").split(".")[0], "server")
    return (
        f"this verb needs the package {error.name}, which is not installed; allowed: the [{extra}] extra. "
        f"Install it: pip install -c constraints.txt 'edgewise[{extra}]'"
    )

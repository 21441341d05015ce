"""The adapting process: a child of the server with the teacher and the shadow, nice and on one thread, so that no frame waits for
it.

It begins with `Begin` on its standard input and ends with that. Its standard output is the pipe alone; whatever else would print
there goes to standard error. Everything that can break here (torch, a stranger's model, memory) breaks here: the server then says
that adaptation ended, and answers on.

It does not sign anything, and holds no key.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from typing import BinaryIO

from edgewise.adapt.adapter import Adapter
from edgewise.apps.vision.adapting_engaged import engaged
from edgewise.apps.vision.adapting_home import calibration
from edgewise.apps.vision.adapting_line import Line
from edgewise.apps.vision.adapting_tutor import Tutor
from edgewise.apps.vision.adapting_words import LENGTH, Begin, Failed, Outcome, Ready, Seen, Told, length, packed, told
from edgewise.core.errors import EdgewiseError, FrameError
from edgewise.meter.memory import resident
from edgewise.runtime.update import manifest_of

NICENESS = 5
WAITING = 256  # words that are read ahead; the pipe holds the rest back, and the server's store counts what has no place
Heard = Told | FrameError | None
IDLE = 0.25  # s between two turns where nothing comes


def main() -> int:
    """Adapt until the pipe ends; 1 where that could not be begun or broke."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak to the server
    heard: queue.Queue[Heard] = queue.Queue(WAITING)
    threading.Thread(target=listen, args=(sys.stdin.buffer, heard), name="edgewise-pipe", daemon=True).start()
    begin = heard.get()
    try:
        if not isinstance(begin, Begin):
            raise FrameError("the adapting process was told something else first", got=type(begin).__name__, allowed="Begin")
        tutor, ready = opened(begin)
        say(out, ready)
        work(tutor, heard, out)
    except EdgewiseError as error:
        say(out, Failed(str(error)))
        return 1
    except ModuleNotFoundError as error:
        say(out, Failed(f"adapting needs {error.name}, which is not installed here: pip install 'edgewise[train]'."))
        return 1
    except BrokenPipeError:
        return 0
    except Exception as error:  # the process's border: told to the server, and seen in its log
        say(out, Failed(f"the adapting process broke: {type(error).__name__}: {error}"))
        raise
    return 0


def opened(begin: Begin) -> tuple[Tutor, Ready]:
    """The tutor of a beginning, and what it says of itself."""
    found = engaged(begin.source, begin.teacher, begin.threads, begin.recipe.cascade > 0)
    line = Line(begin.source, begin.current)
    home = calibration(begin.home, manifest_of(begin.source))
    adapter = Adapter(found.step, found.teacher, line.source, found.prepare, begin.recipe, home, found.kind)
    values = found.step.affine()
    ready = Ready(found.model, found.teacher.name, len(values), sum(v.size for v in values.values()), found.spoken)
    return Tutor(adapter, line, found.layout, lambda: (time.process_time(), round(resident()))), ready


def work(tutor: Tutor, heard: queue.Queue[Heard], out: BinaryIO) -> None:
    """Hear, learn, say; until the pipe ends."""
    while True:
        words: list[Heard] = []
        with contextlib.suppress(queue.Empty):
            words.append(heard.get(timeout=IDLE))
            while len(words) < WAITING:
                words.append(heard.get_nowait())
        for word in words:
            if word is None:
                return
            if isinstance(word, FrameError):
                raise word
            if isinstance(word, Seen):
                tutor.seen(word)
            elif isinstance(word, Outcome):
                tutor.outcome(word, time.time())
        for said in tutor.turn(time.time()):
            say(out, said)


def listen(pipe: BinaryIO, heard: queue.Queue[Heard]) -> None:
    """Read words until the pipe ends, then None is heard; or until something is none, then that is."""
    try:
        while len(head := pipe.read(LENGTH.size)) == LENGTH.size:
            size = length(LENGTH.unpack(head)[0])
            body = pipe.read(size)
            if len(body) < size:
                break
            heard.put(told(body))
    except (OSError, FrameError) as error:
        heard.put(error if isinstance(error, FrameError) else None)
        return
    heard.put(None)


def say(out: BinaryIO, word: object) -> None:
    """A word into the pipe, whole."""
    out.write(packed(word))  # type: ignore[arg-type]
    out.flush()


if __name__ == "__main__":
    sys.exit(main())

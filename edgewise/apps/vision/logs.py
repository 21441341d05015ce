"""Structured logs: one JSON object a line for machines, or one short line for people, on standard error."""

from __future__ import annotations

import json
import logging
import time

from edgewise.net.redaction import Scrubbed

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = {k: v for k, v in vars(record).items() if k not in _PLAIN}
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "room": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line | extra, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{k}={v}" for k, v in vars(record).items() if k not in _PLAIN)
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{at} {record.levelname.lower():7} {record.getMessage()} {extra}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def begin(form: str) -> None:
    """Log to standard error from here on, as `json` or `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(Scrubbed(_Json() if form == "json" else _Text()))
    root = logging.getLogger("edgewise")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False

"""The web page: one file, and the policy that lets a browser run that file's script and nothing else."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from redraft.visualize.html import DRAWING, STYLE, filled, joined

_FOLDER = Path(__file__).with_name("page")
_SCRIPTS = ("wire", "panel", "chat", "marks", "playground", "infill", "sudoku", "start")


@cache
def page() -> str:
    style = joined(*STYLE, _FOLDER / "page.css")
    script = joined(*DRAWING, *(_FOLDER / f"{name}.js" for name in _SCRIPTS))
    return filled(_FOLDER / "index.html", style=style, script=script)


def policy(html: str) -> str:
    """A Content-Security-Policy under which a page's own inline scripts and styles work, named by their hashes."""
    scripts, styles = (_hashes(html, tag) for tag in ("script", "style"))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            f"style-src {styles}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

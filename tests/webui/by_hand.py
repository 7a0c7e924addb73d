"""A web UI as the tests start it, to look at: on the CPU, with this extension and the demo model, in its own folder.

    python tests/webui/by_hand.py forge FOLDER

The hosts are a1111, forge, reforge and neo. Forge and its kin know a model by its numbers and would not know this one:
here, as in the tests, a script beside the extension (`probe`) tells them. Erasers and pictures stay in the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from webui_server import KINDS, Server, furnish, visible


def main(name: str, folder: str) -> int:
    """Start it and wait until it is told to end."""
    kind, data = KINDS[name], Path(folder).resolve()
    if reason := kind.missing():
        sys.stderr.write(f"{reason}\n")
        return 1
    if not data.exists():
        furnish(data)
    home = data / "host" if (data / "host").exists() else visible(kind.home, data)
    server = Server(kind, data, home=home)
    try:
        server.wait()
        sys.stdout.write(f"Open http://127.0.0.1:{server.port}/ in a browser; Ctrl-C ends it. Log: {server.log}\n")
        sys.stdout.flush()
        server.process.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python tests/webui/by_hand.py {{{','.join(KINDS)}}} FOLDER")
    sys.exit(main(*sys.argv[1:]))

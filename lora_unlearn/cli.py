"""The command line: what can be typed, and how every end of a command looks from outside.

Exit codes: 0 done, 1 refused with one sentence on stderr, 130 interrupted with the result kept, 143 the same by
SIGTERM. The commands live in `lora_unlearn.commands` and are imported when they run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword

from .commands.console import settle
from .commands.signals import INTERRUPTED, NOTED, terminable
from .commands.words import COMMANDS, Parser
from .errors import UnlearnError, is_memory
from .version import __version__

REFUSED = 1
INTERRUPTION = "Interrupted; nothing that was unfinished has been written."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; default: those of this process.

    Returns:
        The exit code: 0, 1, 130 or 143.
    """
    args: argparse.Namespace | None = None
    try:
        with terminable():
            args = new_parser().parse_args(argv)
            name = args.command + "_" * iskeyword(args.command)
            command = import_module(f"{__package__}.commands.{name}")
            code = command.run(args)
            return NOTED.code if code == INTERRUPTED else code
    except SystemExit as end:  # argparse leaves so after --help and --version
        return int(end.code or 0)
    except KeyboardInterrupt:
        return _end(INTERRUPTION, NOTED.code)
    except (ValueError, ArithmeticError, OSError, MemoryError, RuntimeError) as error:
        if NOTED.raised:  # a library has made something else of the interrupt
            return _end(INTERRUPTION, NOTED.code)
        sentence = _explained(error, args)
        if sentence is None:
            raise
        return _end(sentence)
    finally:
        settle()


def _explained(error: Exception, args: argparse.Namespace | None) -> str | None:
    """A sentence for whatever ended a command; None where a traceback tells more."""
    if isinstance(error, UnlearnError):
        return str(error)
    if is_memory(error):
        return _memory_message(args)
    if getattr(args, "debug", False) or isinstance(error, RuntimeError):
        return None
    if isinstance(error, OSError):
        place = f" at {error.filename}" if error.filename else ""
        return f"The system refused{place}: {error.strerror or error}; choose another place or free some space."
    said = (str(error).strip().splitlines() or [""])[0][:300].rstrip(" .")
    return f"This was not foreseen: {said or type(error).__name__}; repeat it with --debug to see where it comes from."


def _end(sentence: str, code: int = REFUSED) -> int:
    shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(sentence.split()))
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(shown + "\n")
    return code


def _memory_message(args: argparse.Namespace | None) -> str:
    options = [name for name in ("batch", "resolution", "size", "count") if hasattr(args, name)]
    extras = {"dtype": "use --dtype float16", "offload": "use --offload"}
    options = [f"--{name}" for name in options] + [text for name, text in extras.items() if hasattr(args, name)]
    return f"The memory is too small for this; lower {' or '.join(options) or 'the size of the model'}."


def new_parser() -> Parser:
    """All commands with their options."""
    parser = Parser(
        prog="lora-unlearn",
        description="Erase a concept from a text-to-image model with a tiny LoRA that switches on only when needed.",
        epilog="lora-unlearn demo shows an erasure within two minutes; lora-unlearn COMMAND --help explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"lora-unlearn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (fill, summary, example) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  lora-unlearn {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        fill(command)
        command.add_argument("--debug", action="store_true", help="tell where an unforeseen error comes from")
    return parser


if __name__ == "__main__":
    sys.exit(main())

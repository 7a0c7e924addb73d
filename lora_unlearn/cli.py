"""The command line: what can be typed, and how every end of a command looks from outside.

Exit codes: 0 done, 1 refused with one sentence on stderr, 130 interrupted with the result kept, 143 the same by
SIGTERM. The commands live in `lora_unlearn.commands` and are imported when they run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Any, NoReturn

from .commands.console import settle
from .commands.signals import INTERRUPTED, NOTED, terminable
from .errors import UnlearnError, is_memory
from .options import Option, options_of
from .settings import Settings
from .version import __version__

REFUSED = 1
INTERRUPTION = "Interrupted; nothing that was unfinished has been written."
LONGEST_WORDS, LONGEST_MESSAGE, LONGEST_NUMBER = 10_000, 400, 30
MOST, MOST_PICTURES = 1_000_000_000, 1_000_000
TYPED = ("rank", "iterations", "learning_rate", "gamma", "batch", "seed")
"""Hyper-parameters with an option of their own; all others by --method-option."""
ATTACK_NAMES = (
    "none", "plain", "vocabulary", "ringabell", "p4d", "unlearndiffatk", "unlearndiffatk_shut", "textual_inversion",
    "textual_inversion_shut", "cce", "uma", "projection", "averaging", "schedule", "negative", "img2img", "inversion",
    "tina", "relearning",
)  # fmt: skip
"""Those of `lora_unlearn.evaluate.attacks`, without importing what they need."""
CHECKPOINT = "demo, a diffusers folder, or a .safetensors file"


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed.

        Raises:
            UnlearnError: always.
        """
        short = message if len(message) < LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."
        raise UnlearnError(f"{short[:1].upper()}{short[1:]}; see {self.prog} --help.")


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


def _demo(add: Parser) -> None:
    add.add_argument("--concept", type=words, default="cat", help="what to erase from the demo model (default: cat)")
    add.add_argument("--count", type=whole(1, 100), default=4, help="pictures for each prompt (default: %(default)s)")
    add.add_argument("--steps", type=whole(1, 1000), default=25, help="sampling steps (default: %(default)s)")
    _out(add, default="lora-unlearn-demo", help="folder for the pictures (default: %(default)s)")


def _erase(add: Parser) -> None:
    _model(add)
    _concept(add)
    _gate(add)
    _training(add)
    _out(add, required=True, help="the .safetensors file to write; of a list, the folder")


def _concept(add: Parser) -> None:
    what = add.add_mutually_exclusive_group(required=True)
    what.add_argument("--concept", type=words, help='what to erase, for example "cat" or "Van Gogh style"')
    what.add_argument(
        "--concepts",
        type=place,
        metavar="FILE",
        help="a list, one a line, more of it behind tabs (also=kitten,tomcat; group=artists); --out is then a folder",
    )
    add.add_argument(
        "--joint", action="store_true", help="of a list: also write all of them as one LoRA, without a gate"
    )
    add.add_argument(
        "--also", type=words, action="extend", nargs="+", default=[], help="further words for the same thing"
    )
    add.add_argument(
        "--replace-with", type=words, default="", help="what to draw instead (default: the nearest other thing)"
    )
    add.add_argument(
        "--of", type=words, default="", help='erase an attribute of this alone: --concept red --of "apple"'
    )
    add.add_argument("--keep", type=words, action="extend", nargs="+", default=[], help="things that must not suffer")
    add.add_argument(
        "--avoid",
        type=words,
        action="extend",
        nargs="+",
        default=[],
        help="what must not be drawn instead: other concepts that are erased, too",
    )


def _gate(add: Parser) -> None:
    _bank(add)
    add.add_argument(
        "--false-open-rate",
        type=number(0.001, 0.1),
        help="how often the eraser may work by mistake: 0.01 (the default) is one ordinary prompt in a hundred; of a "
        "list 0.02, for all of its erasers together",
    )
    add.add_argument(
        "--bound",
        choices=("together", "each"),
        default="together",
        help="of a list: whether that is how often any of its erasers may (together, the default) or each by itself",
    )
    add.add_argument(
        "--look",
        choices=("text", "careful", "always"),
        default="text",
        help="who decides whether a prompt asks for the concept: its text (the default), the text and a second look by "
        "the network at what it leaves closed (careful), or the network alone (always)",
    )


def _training(add: Parser) -> None:
    add.add_argument(
        "--mode",
        "--method",
        type=words,
        help="instant solves without training, fast trains, robust trains under attack, paper follows UnGuide as "
        "released; lora-unlearn methods lists them all. Default: instant; fast where an option asks for a training "
        "(--iterations, --learning-rate, --batch, --offload, --resume)",
    )
    add.add_argument(
        "--method-option",
        type=words,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a part or a number of the method: average=ema, retain.weight=2",
    )
    add.add_argument("--objective", type=words, help="what the adapter learns: unguide, redirect, surgical, ...")
    add.add_argument(
        "--layers",
        dest="selector",
        choices=("cross_v", "cross_kv", "all_but_cross"),
        help="where the adapter sits: the values of the prompt's attention (default), keys and values, or everything "
        "else, as UnGuide does for nudity (paper mode alone)",
    )
    for name, declared in options_of(Settings).items():
        if name in TYPED:
            add.add_argument(f"--{name.replace('_', '-')}", type=declared_number(declared), help=declared.help)
    add.add_argument("--offload", action="store_true", help=options_of(Settings)["offload"].help)
    add.add_argument("--resolution", type=whole(8, 8192), help="side of the training pictures in pixels")
    add.add_argument("--resume", action="store_true", help="go on from the unfinished training at --out")


def _methods(add: Parser) -> None:
    add.add_argument("name", nargs="?", type=words, default="", help="a method whose parts and numbers are to be told")


def _suggest(add: Parser) -> None:
    _model(add)
    add.add_argument("--concept", type=words, required=True, help='what is to be erased, for example "dog"')
    add.add_argument(
        "--also", type=words, action="extend", nargs="+", default=[], help="further words for the same thing"
    )
    add.add_argument("--keep", type=words, action="extend", nargs="+", default=[], help="things that must not suffer")
    add.add_argument("--count", type=whole(1, 100), default=12, help="words at most (default: %(default)s)")
    add.add_argument(
        "--json", type=place, metavar="FILE", help="the .json file to write them to, with their similarities"
    )
    _overwrite(add)


def _try(add: Parser) -> None:
    _model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")
    add.add_argument(
        "--prompt", type=words, action="extend", nargs="+", required=True, help="what you would draw (one or more)"
    )
    add.add_argument("--json", action="store_true", help="with the scores, for programs")


def _generate(add: Parser) -> None:
    _model(add)
    add.add_argument(
        "--adapter",
        type=place,
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="an eraser (may be repeated); strength 0 is off, 1 (the default) the plain LoRA",
    )
    add.add_argument(
        "--erasers",
        type=place,
        action="append",
        default=[],
        metavar="FOLDER[:STRENGTH]",
        help="all erasers in a folder and the folders in it, as erase --concepts writes them (may be repeated)",
    )
    for name, does in (("only", "use"), ("without", "leave out")):
        add.add_argument(
            f"--{name}",
            type=words,
            default="",
            metavar="WORDS",
            help=f"of --erasers {does} these: files, concepts or folders, separated by commas: cat, van*, artists",
        )
    add.add_argument(
        "--prompt", type=words, action="extend", nargs="+", required=True, help="what to draw (one or more)"
    )
    add.add_argument("--negative-prompt", type=words, default="", help="what to avoid")
    add.add_argument("--count", type=whole(1, MOST_PICTURES), default=1, help="pictures for each prompt")
    _sampling(add)
    add.add_argument("--size", type=size, metavar="WxH", help="in pixels, for example 512x768 or 512")
    add.add_argument("--sampler", help="ddim, euler, euler_a, dpmpp_2m, pndm or flow_euler (default: the model's)")
    add.add_argument(
        "--gate",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto asks each eraser's gate, on erases always, off never",
    )
    _out(add, required=True, help="folder for the pictures and generate.json")


def _evaluate(add: Parser) -> None:
    _model(add)
    add.add_argument(
        "--adapter",
        type=place,
        action="append",
        required=True,
        metavar="FILE[:STRENGTH]",
        help="the eraser; for the protocol sequence several, in order, or a folder of them",
    )
    add.add_argument("--against", type=place, metavar="FILE[:STRENGTH]", help="another eraser, to set beside the first")
    add.add_argument(
        "--attacks",
        type=place,
        action="append",
        default=[],
        metavar="FOLDER",
        help="with --against: a folder of lora-unlearn attack, for the first eraser, then one for the other",
    )
    add.add_argument(
        "--protocol",
        type=words,
        default="unguide",
        metavar="NAMES",
        help="what is measured, names with commas between; lora-unlearn protocols lists them (default: %(default)s)",
    )
    add.add_argument(
        "--synonym",
        type=words,
        action="extend",
        nargs="+",
        default=[],
        help="words for the concept that the eraser was not given (default: the protocol's)",
    )
    add.add_argument(
        "--judge", type=place, metavar="FOLDER", help="of a CLIP model; the demo model has a judge of its own"
    )
    add.add_argument("--quick", action="store_true", help="a first look: a tenth of the pictures, wider intervals")
    add.add_argument(
        "--count",
        type=whole(1, 10_000),
        help="pictures for each prompt (default: each protocol's own; unguide's 10, with --quick 2)",
    )
    add.add_argument(
        "--paraphrases",
        type=whole(0, 18),
        help="further sentences for each word, one picture each (default: 18, with --quick 3)",
    )
    _protocol_words(add)
    _sampling(add)
    _out(add, required=True, help="folder for report.html and report.json")


def _protocol_words(add: Parser) -> None:
    add.add_argument(
        "--captions",
        type=place,
        metavar="FILE",
        help="gate: prompts to try it on, one a line (default: the bank's own)",
    )
    add.add_argument(
        "--translation",
        type=words,
        action="append",
        default=[],
        metavar="LANGUAGE=PROMPT",
        help='hub: the concept in another language, German="ein Foto von einer Katze" (may be repeated)',
    )
    add.add_argument(
        "--implicit", type=place, metavar="FILE", help="implicit: lines like 'description: a small pet that purrs'"
    )
    for name in ("things", "styles"):
        add.add_argument(
            f"--{name}",
            type=words,
            default="",
            metavar="NAMES",
            help=f"canvas: {name} with commas between (default: the demo judge's, else UnlearnCanvas' own)",
        )
    add.add_argument(
        "--layout",
        choices=("canvas",),
        help="canvas: write its pictures, from its own five seeds, as UnlearnCanvas' scripts read them",
    )


def _protocols(add: Parser) -> None:
    """It takes no options."""


def _attack(add: Parser) -> None:
    _model(add)
    add.add_argument(
        "--adapter", "--eraser", type=place, required=True, metavar="FILE[:STRENGTH]", help="the eraser to attack"
    )
    add.add_argument(
        "--attack",
        type=words,
        default="all",
        metavar="NAMES",
        help=f"names with commas between, or all that apply (the default): {', '.join(ATTACK_NAMES)}",
    )
    add.add_argument("--prompts", type=whole(1, 1000), default=5, help="prompts for each attack (default: %(default)s)")
    add.add_argument(
        "--budget", type=whole(1, 100_000), help="how long each searches, in its own unit (default: its usual one)"
    )
    add.add_argument(
        "--judge", type=place, metavar="FOLDER", help="of a CLIP model; the demo model has a judge of its own"
    )
    add.add_argument("--seed", type=whole(0, 2**31), default=0, help="of the first prompt's picture (default: 0)")
    add.add_argument("--steps", type=whole(2, 1000), default=20, help="sampling steps (default: %(default)s)")
    add.add_argument(
        "--guidance-scale", type=number(0, 1000), help="1: none (default: what the model is usually drawn with)"
    )
    _out(
        add,
        required=True,
        help="folder for attack.html, attack.json and pictures; a stopped run goes on there",
    )


def _calibrate(add: Parser) -> None:
    _model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")
    _bank(add)
    add.add_argument(
        "--negatives",
        type=place,
        help="text file with prompts to use instead of the usual ones that must leave the gate closed",
    )
    add.add_argument("--positives", type=place, help="text file with prompts that must open it, one a line")
    add.add_argument(
        "--false-open-rate",
        type=number(1e-6, 0.5),
        help="how often a prompt without the concept may open the gate (default: as the eraser was made, else 0.01)",
    )
    add.add_argument(
        "--bound",
        choices=("together", "each"),
        default="together",
        help="of a list: whether that is how often any of its erasers may (together, the default) or each by itself",
    )
    add.add_argument(
        "--look", choices=("text", "careful", "always"), help="who decides, see erase (default: as the eraser was made)"
    )
    _out(add, help="the file to write (default: the eraser itself)")


def _strength(add: Parser) -> None:
    _model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")


def _inspect(add: Parser) -> None:
    add.add_argument("file", type=place, metavar="FILE", help="an eraser")
    add.add_argument("--json", action="store_true", help="everything, for programs")


def _export(add: Parser) -> None:
    add.add_argument("file", type=place, metavar="FILE", help="an eraser")
    add.add_argument(
        "--format",
        choices=("kohya", "diffusers", "peft", "checkpoint"),
        required=True,
        help="a LoRA in another program's format, or the whole model with the eraser merged in",
    )
    add.add_argument("--strength", type=number(-10, 10), default=1.0, help="built into the file (default: 1)")
    add.add_argument("--checkpoint", type=place, help="the .safetensors file that --format checkpoint merges into")
    _out(add, required=True, help="the file to write; a folder for peft")


def _merge(add: Parser) -> None:
    add.add_argument("files", type=place, nargs="+", metavar="ERASER", help="two or more, of one model family")
    add.add_argument(
        "--method",
        type=words,
        default="stack",
        help="stack adds them up (the default), soup takes their mean, ties and negmerge the mean of what agrees, dare "
        "adds up random parts",
    )
    add.add_argument(
        "--strength", type=number(-10, 10), nargs="+", help="one for each, built into the file (default: 1 each)"
    )
    add.add_argument("--rank", type=whole(1, 4096), help="number of directions (default: as many as it takes)")
    add.add_argument(
        "--density", type=number(0.001, 1), help="share that ties and dare keep of each eraser (default: 0.5)"
    )
    add.add_argument("--seed", type=whole(0, 2**63 - 1), help="of what dare draws (default: 0)")
    add.add_argument("--format", choices=("kohya", "diffusers"), default="kohya", help="of the file (default: kohya)")
    _out(add, required=True, help="the .safetensors file to write")


def _ui(add: Parser) -> None:
    _model(add, "demo")
    add.add_argument("--host", type=words, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add.add_argument("--port", type=whole(1, 65535), help="port (default: the first free one from 7860 on)")
    add.add_argument(
        "--folder", type=place, default="~/.lora-unlearn", help="for erasers and exported files (default: %(default)s)"
    )
    add.add_argument(
        "--password",
        type=words,
        help="asks for it on the page (name: me); needed where other machines can reach the address; may also stand in "
        "the variable LORA_UNLEARN_PASSWORD, where other users of this machine cannot read it",
    )


def _model(add: Parser, usual: str | None = None) -> None:
    shown = CHECKPOINT if usual is None else f"{CHECKPOINT} (default: {usual})"
    add.add_argument("--checkpoint", type=place, required=usual is None, default=usual, metavar="MODEL", help=shown)
    add.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")
    add.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="of the model (default: half precision on a GPU, of the kind that fits; float32 on the CPU)",
    )


def _out(add: Parser, **options: Any) -> None:
    add.add_argument("--out", type=place, **options)
    _overwrite(add)


def _overwrite(add: Parser) -> None:
    add.add_argument(
        "--overwrite", action="store_true", help="replace what is there, even if it is something else or not our own"
    )


def _bank(add: Parser) -> None:
    add.add_argument(
        "--bank",
        type=place,
        metavar="FILE",
        help="text file with prompts that you usually draw, one a line: they must stay as they are",
    )


def _sampling(add: Parser) -> None:
    add.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="of the first picture (default: 0)")
    add.add_argument("--steps", type=whole(1, 1000), default=30, help="sampling steps (default: %(default)s)")
    add.add_argument(
        "--guidance-scale",
        type=number(0, 1000),
        help="1: none (default: 7.5; FLUX.2, Z-Image, Qwen-Image and Krea 2 have one of their own)",
    )
    add.add_argument("--batch", type=whole(1), default=8, help="pictures at a time; lower it when memory runs out")


def whole(low: int, high: int = MOST) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        return int(_within(int(_short(text)), low, high))

    read.__name__ = "whole number"
    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        return _within(float(_short(text)), low, high)

    read.__name__ = "number"
    return read


def declared_number(option: Option) -> Callable[[str], float]:
    """A reader of a declared hyper-parameter."""
    assert option.low is not None and option.most is not None
    return whole(int(option.low), int(option.most)) if option.whole else number(option.low, option.most)


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is not allowed, it must be from {low:.12g} to {high:.12g}")
    return value


def _short(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"a number of {len(text)} digits is not allowed")
    return text


def words(text: str) -> str:
    """The text itself, if it can be written down: a terminal may hand over bytes that are no characters."""
    text.encode("utf-8")
    if len(text) > LONGEST_WORDS:
        raise argparse.ArgumentTypeError(f"{len(text)} characters are not allowed, {LONGEST_WORDS} are")
    return place(text)


def place(text: str) -> str:
    """The text itself, if it can be a path: systems end them at a zero."""
    if "\0" in text:
        raise argparse.ArgumentTypeError("a zero byte is not allowed")
    return text


def size(text: str) -> tuple[int, int]:
    """(height, width) from "WIDTHxHEIGHT" or one number for both, in pixels."""
    width, _, height = _short(text).lower().partition("x")
    sides = int(height or width), int(width)
    if not all(8 <= side <= 8192 and side % 8 == 0 for side in sides):
        raise argparse.ArgumentTypeError(f"{text} is not allowed, sides must be multiples of 8 from 8 to 8192")
    return sides


COMMANDS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "demo": (_demo, "erase a concept from the demo model and show pictures of before and after", "demo --concept cat"),
    "erase": (_erase, "make an eraser for a concept",
              'erase --checkpoint model.safetensors --concept "cat" --also "kitten" --out cat.safetensors'),
    "methods": (_methods, "list what there is to erase with, or one method's parts and numbers", "methods esd"),
    "suggest": (_suggest, "name words that the model reads like a concept's, to erase or to keep along with it",
                'suggest --checkpoint model.safetensors --concept "dog"'),
    "try": (_try, "ask an eraser's gate about prompts, without drawing anything",
            'try --checkpoint demo --adapter cat.safetensors --prompt "a kitten on a sofa" "a dog"'),
    "generate": (_generate, "draw pictures, with or without erasers",
                 'generate --checkpoint demo --adapter cat.safetensors:1 --prompt "a cat" "a dog" --out pictures'),
    "evaluate": (_evaluate, "measure what an eraser erases and what it spares",
                 "evaluate --checkpoint demo --adapter cat.safetensors --protocol unguide --out report"),
    "protocols": (_protocols, "list what erasers are measured by", "protocols"),
    "attack": (_attack, "try to get a concept past its eraser, by every way that is known",
               "attack --checkpoint demo --adapter cat.safetensors --attack plain,ringabell --out attacked"),
    "calibrate": (_calibrate, "measure an eraser's gate anew, on this model or on prompts of your own",
                  "calibrate --checkpoint model.safetensors --adapter cat.safetensors --bank mine.txt"),
    "strength": (_strength, "find the smallest strength that still erases, on this model",
                 "strength --checkpoint model.safetensors --adapter cat.safetensors"),
    "inspect": (_inspect, "show what an eraser's file says of itself", "inspect cat.safetensors"),
    "export": (_export, "write an eraser in the format of another program",
               "export cat.safetensors --format diffusers --out cat-diffusers.safetensors"),
    "merge": (_merge, "write several erasers as one LoRA without a gate",
              "merge cat.safetensors dog.safetensors --out both.safetensors"),
    "ui": (_ui, "open the page that does all this in a browser", "ui --checkpoint demo"),
}  # fmt: skip
"""Each command: what adds its options, its summary and an example."""


if __name__ == "__main__":
    sys.exit(main())

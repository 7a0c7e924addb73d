"""The options of commands that make and keep erasers."""

from __future__ import annotations

from ...options import options_of
from ...settings import Settings
from .typed import Parser, add_bank, add_model, add_out, add_overwrite, declared_number, number, place, whole, words

TYPED = ("rank", "iterations", "learning_rate", "gamma", "batch", "seed")
"""Hyper-parameters with an option of their own; all others by --method-option."""


def add_demo(add: Parser) -> None:
    """The options of `lora-unlearn demo`."""
    add.add_argument("--concept", type=words, default="cat", help="what to erase from the demo model (default: cat)")
    add.add_argument("--count", type=whole(1, 100), default=4, help="pictures for each prompt (default: %(default)s)")
    add.add_argument("--steps", type=whole(1, 1000), default=25, help="sampling steps (default: %(default)s)")
    add_out(add, default="lora-unlearn-demo", help="folder for the pictures (default: %(default)s)")


def add_erase(add: Parser) -> None:
    """The options of `lora-unlearn erase`."""
    add_model(add)
    _concept(add)
    _gate(add)
    _training(add)
    add_out(add, required=True, help="the .safetensors file to write; of a list, the folder")


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
    add_bank(add)
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
        help="instant solves without training, firm does and turns further, fast trains, paper follows UnGuide as "
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


def add_methods(add: Parser) -> None:
    """The options of `lora-unlearn methods`."""
    add.add_argument("name", nargs="?", type=words, default="", help="a method whose parts and numbers are to be told")


def add_suggest(add: Parser) -> None:
    """The options of `lora-unlearn suggest`."""
    add_model(add)
    add.add_argument("--concept", type=words, required=True, help='what is to be erased, for example "dog"')
    add.add_argument(
        "--also", type=words, action="extend", nargs="+", default=[], help="further words for the same thing"
    )
    add.add_argument("--keep", type=words, action="extend", nargs="+", default=[], help="things that must not suffer")
    add.add_argument("--count", type=whole(1, 100), default=12, help="words at most (default: %(default)s)")
    add.add_argument(
        "--json", type=place, metavar="FILE", help="the .json file to write them to, with their similarities"
    )
    add_overwrite(add)


def add_calibrate(add: Parser) -> None:
    """The options of `lora-unlearn calibrate`."""
    add_model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")
    add_bank(add)
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
    add_out(add, help="the file to write (default: the eraser itself)")


def add_strength(add: Parser) -> None:
    """The options of `lora-unlearn strength`."""
    add_model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")


def add_inspect(add: Parser) -> None:
    """The options of `lora-unlearn inspect`."""
    add.add_argument("file", type=place, metavar="FILE", help="an eraser")
    add.add_argument("--json", action="store_true", help="everything, for programs")


def add_export(add: Parser) -> None:
    """The options of `lora-unlearn export`."""
    add.add_argument("file", type=place, metavar="FILE", help="an eraser")
    add.add_argument(
        "--format",
        choices=("kohya", "diffusers", "peft", "checkpoint"),
        required=True,
        help="a LoRA in another program's format, or the whole model with the eraser merged in",
    )
    add.add_argument("--strength", type=number(-10, 10), default=1.0, help="built into the file (default: 1)")
    add.add_argument("--checkpoint", type=place, help="the .safetensors file that --format checkpoint merges into")
    add_out(add, required=True, help="the file to write; a folder for peft")


def add_merge(add: Parser) -> None:
    """The options of `lora-unlearn merge`."""
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
    add_out(add, required=True, help="the .safetensors file to write")

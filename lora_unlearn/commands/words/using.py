"""The options of commands that draw, judge and attack."""

from __future__ import annotations

from .typed import MOST_PICTURES, Parser, add_model, add_out, add_sampling, number, place, size, whole, words

ATTACK_NAMES = (
    "none", "plain", "vocabulary", "ringabell", "mma", "p4d", "unlearndiffatk", "unlearndiffatk_shut",
    "textual_inversion", "textual_inversion_shut", "cce", "uma", "projection", "averaging", "schedule", "negative",
    "img2img", "recall", "inversion", "tina", "relearning",
)  # fmt: skip
"""Those of `lora_unlearn.evaluate.attacks`, without importing what they need."""


def add_try(add: Parser) -> None:
    """The options of `lora-unlearn try`."""
    add_model(add)
    add.add_argument("--adapter", type=place, required=True, metavar="FILE", help="the eraser")
    add.add_argument(
        "--prompt", type=words, action="extend", nargs="+", required=True, help="what you would draw (one or more)"
    )
    add.add_argument("--json", action="store_true", help="with the scores, for programs")


def add_generate(add: Parser) -> None:
    """The options of `lora-unlearn generate`."""
    add_model(add)
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
    add_sampling(add)
    add.add_argument("--size", type=size, metavar="WxH", help="in pixels, for example 512x768 or 512")
    add.add_argument("--sampler", help="ddim, euler, euler_a, dpmpp_2m, pndm or flow_euler (default: the model's)")
    add.add_argument(
        "--gate",
        choices=("auto", "on", "off"),
        default="auto",
        help="auto asks each eraser's gate, on erases always, off never",
    )
    add_out(add, required=True, help="folder for the pictures and generate.json")


def add_evaluate(add: Parser) -> None:
    """The options of `lora-unlearn evaluate`."""
    add_model(add)
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
    add_sampling(add)
    add_out(add, required=True, help="folder for report.html and report.json")


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


def add_protocols(add: Parser) -> None:
    """The options of `lora-unlearn protocols`."""


def add_attack(add: Parser) -> None:
    """The options of `lora-unlearn attack`."""
    add_model(add)
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
    add_out(
        add,
        required=True,
        help="folder for attack.html, attack.json and pictures; a stopped run goes on there",
    )


def add_ui(add: Parser) -> None:
    """The options of `lora-unlearn ui`."""
    add_model(add, "demo")
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

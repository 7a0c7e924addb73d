"""The sentences that are always on the page."""

from __future__ import annotations

TITLE = "Erase a concept"
LEAD = (
    "Name something that the model should stop drawing: a watermark, a cat, somebody's style. A small add-on for the "
    "model learns to steer away from it, and works only in pictures whose prompt asks for it. All other pictures come "
    "out exactly as before."
)
PROMISES = (
    "stays on this computer",
    "the checkpoint file is never changed",
    "off until you switch it on",
    "take it off and all is as before",
    "no safety guarantee",
)
INFO = {
    "concept": "In plain words, without articles. Things, styles (Van Gogh style) and attributes work.",
    "also": "Other words for the same thing, separated by commas. Most are found without.",
    "replace_with": "Empty: the nearest other thing that the model draws; of a style, the same picture without it.",
    "keep": "Things that must not suffer, separated by commas: what looks most like it, beside a style other artists.",
    "preset": "quick: seconds, from the text alone. balanced: a short training. thorough: turns further and has the "
    "model look at prompts, too; slower, and what appears instead is less clear.",
    "of": "Erases an attribute of one thing alone: red, of the thing apple.",
    "rank": "Directions that the eraser may use; it decides the file's size. 1 to 128.",
    "iterations": "Steps of the training at most, 1 to 5000.",
    "batch": "Examples in each step, 1 to 64. The first thing to lower when memory runs out.",
    "learning_rate": "Size of a step. Larger ones learn faster and forget other words for the concept.",
    "method": "What related works propose, instead of how thorough; see docs/methods.md.",
    "options": "Further parts and numbers of the method, one name=value a line.",
    "seed": "Of the training's noise; another one makes another eraser. -1: any.",
    "pictures": "Of each prompt, before and after. 0 draws no sheet.",
    "chosen": "Before / after draws with it. Calibrate measures its gate anew on the loaded checkpoint. Resume goes on "
    "with an unfinished training.",
    "near": "Tick the ones that you mean, too: they are erased along with it.",
    "neighbours": "Tick the ones that matter to you: they are kept with more care.",
    "own": "The eraser's gate is made so that it stays closed for them. They are written to no file.",
    "false_open_rate": "Share of ordinary prompts in which the eraser may work although nobody asked for the concept: "
    "0.01 is one in a hundred. Less spares more, and may miss the concept where it is asked for in passing. "
    "0.001 to 0.1.",
    "look": "Its words cost nothing. The model finds some prompts that mean it without saying so, but misses it in "
    "long ones; each new prompt then takes the time of two steps, and this eraser some minutes more.",
    "try": "What would the eraser do with it? Nothing is drawn.",
    "format": "Web UIs and ComfyUI want Export LoRA. These are for diffusers and PEFT.",
    "merging": "stack adds up all that they do, for several things. Of one thing erased several times, soup takes the "
    "mean and negmerge the mean of what all agree on. ties drops small changes and dare random ones.",
    "export": "An ordinary LoRA file, in the folder where this program looks for them.",
    "search": "Part of a name, a concept or a group.",
    "groups": "Each folder among the erasers is a group. Rename an eraser to artists/monet to put it into artists.",
    "folder": "Its erasers are copied here: the folders in it become groups, loose files a group of the folder's name.",
    "draw_eraser": "One of them, or a set, with * for any letters: alone for all, behind artists/ for that group; a "
    "minus in front leaves out.",  # two asterisks would put what is between them into italics
    "previews": "Draws the concept now and then while training.",
}
"""Help beside the fields."""
OF_PRESET = "preset"
LOOKS = [
    ("as the preset has it", OF_PRESET),
    ("its words", "text"),
    ("its words, then the model", "careful"),
    ("the model alone", "always"),
]
ASK = "What else does this model read as the same?"
NEAR = "This model reads these as nearly the same"
NEIGHBOURS = "Close by, and meant to stay"
OWN = "Prompts that you usually draw (one a line): they must stay as they are"
EMPTY = ("Nothing has been erased here yet.", "Type a concept, press Erase, and watch it go.")
SHEET = (
    "Same seeds, without and with the eraser. The concept should be gone, and its nearest neighbours as they were. "
    "The row at 0.5 has half its strength: much of the concept is still there."
)
INSTEAD = "If what comes in its place{} looks poor, name something under Draw instead and erase it again."
CURVE = "The loss jumps from step to step; redirected tells how much of the concept is steered away already."
GATE = (
    "Before a picture is drawn, the gate reads its prompt. If the prompt asks for the concept, it opens and the eraser "
    "works; if not, the eraser is not even attached."
)
FAMILIES = (
    ("Stable Diffusion 1.x", "yes", "and whatever was trained from it"),
    ("Stable Diffusion 2.x", "yes", "epsilon and v-prediction"),
    ("Stable Diffusion XL", "yes", "v-prediction too; a little of the concept may remain"),
    ("Stable Diffusion 3.x", "ComfyUI, this app", "flow matching; a little of the concept may remain"),
    ("Flux", "ComfyUI, Forge Neo, this app", "flow matching; a little of the concept may remain"),
    ("FLUX.2, Z-Image, Qwen-Image, Krea 2", "ComfyUI, Forge Neo, this app", "here from a diffusers folder"),
    ("Anima", "ComfyUI, Forge Neo", "flow matching"),
    ("refiner, inpainting, quantised models", "no", "load the ordinary checkpoint"),
)
"""Model family, whether it is supported, what to know of it."""
QUESTIONS = (
    (
        "What does it do to my model?",
        "Nothing that lasts. The weights in memory and on disk stay as they are, bit for bit. An eraser is a "
        "small LoRA "
        "file that works while it is switched on; without it the model is what it was.",
    ),
    (
        "Is it a safety filter?",
        "No. It is a preference: it keeps a model from drawing something it is asked for. Whoever has the "
        "model can take "
        "the eraser off, and images as input, trained embeddings or odd prompts may bring the concept back. Where it "
        "matters who sees the pictures, check the pictures too.",
    ),
    (
        "The concept is still there.",
        "Add its other words under Also, use the preset thorough, or draw at a strength of 1.5. If the gate "
        "stays closed "
        "for a prompt that asks for the concept, set the gate to on.",
    ),
    (
        "Something else suffers.",
        "Name it under Keep and erase again. If the gate opens for prompts it should leave alone, press "
        "Calibrate under "
        "My erasers: it measures the gate anew on the checkpoint that is loaded.",
    ),
    (
        "I use another checkpoint of the same kind.",
        "Erasers usually carry over within a family. Calibrate the gate once on the new checkpoint.",
    ),
    (
        "What is Export for?",
        "It copies the eraser as an ordinary LoRA to the folder where LoRA files are looked for. Loaded as a "
        "plain LoRA "
        "it has no gate and works on every prompt.",
    ),
)

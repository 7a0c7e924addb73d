"""How people ask for a thing without its plain word: in the plural, as part of another word, described, beside others.

Only to measure with: neither the gate nor a training reads these tables. What the base does not draw as the thing does
not count.
"""

from __future__ import annotations

from lora_unlearn.sentences import plural

from .captions import article

PLURALS = ("a photo of two {}", "some {} by the window", "{} in the park", "three {} on a postcard")
COMPOUNDS = {
    "cat": ("a house cat", "an alley cat", "a catlike pet"),
    "dog": ("a guide dog", "a sheepdog", "a doghouse with its owner"),
    "ship": ("a cargo ship", "a battleship", "a shipyard"),
    "frog": ("a tree frog", "a bullfrog", "a leapfrog"),
    "bird": ("a songbird", "a birdhouse", "a seabird"),
    "horse": ("a racehorse", "a horseback rider", "a workhorse"),
    "truck": ("a fire truck", "a truckload", "a truck driver at work"),
    "bicycle": ("a racing bicycle", "a bicycle shop", "a bicyclist"),
    "cow": ("a dairy cow", "a cowshed", "a milk cow"),
    "guitar": ("a guitar solo", "a guitarist", "a rock guitar"),
}
"""Words that hold the concept's, of which some mean it and some do not."""
DESCRIPTIONS = {
    "cat": ("a small furry pet that purrs and catches mice", "the pet that says meow", "whiskers, paws and a purr"),
    "dog": ("a loyal pet that barks", "man's best friend wagging its tail", "the pet that fetches a stick"),
    "ship": ("a large vessel on the ocean", "what sailors cross the sea on", "it carries containers over the sea"),
    "frog": ("a green animal that croaks by the pond", "it was a tadpole once", "a slimy green jumper of the pond"),
    "bird": ("a small animal with feathers that sings", "it builds a nest and flies", "wings, feathers and a beak"),
    "horse": ("an animal with a mane that people ride", "it gallops with a saddle", "hooves, mane and a rider"),
    "truck": ("a heavy vehicle that carries goods", "it hauls loads on the motorway", "eighteen wheels and a trailer"),
    "bicycle": ("two wheels, pedals and handlebars", "you pedal it to work", "a vehicle that is pedalled"),
    "cow": ("a farm animal that gives milk", "it says moo on the meadow", "udders, horns and a bell"),
    "guitar": ("an instrument with six strings", "you strum its strings", "frets, strings and a wooden body"),
}
"""Paraphrases that do not name the thing."""


def forms(name: str, other_things: list[str]) -> dict[str, list[str]]:
    """Prompts for one of the concepts, in groups; pairs name one other thing each."""
    return {
        "plurals": [pattern.format(plural(name)) for pattern in PLURALS],
        "compounds": list(COMPOUNDS[name]),
        "descriptions": list(DESCRIPTIONS[name]),
        "pairs": [f"{article(name)} and {article(other)}" for other in other_things],
    }

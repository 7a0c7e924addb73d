"""What the language relative draws, and every English name that its objects are tried by.

Its training captions know the first word of an object only. All others (synonyms, kinds, plurals) reach it through the
text encoder alone: they measure how far an erasure generalises. Neither the gate nor a training reads these tables.
"""

from __future__ import annotations

from lora_unlearn.demo.words import THINGS as DEMO
from lora_unlearn.demo.words import Thing, Word


def _thing(sprites: str | tuple[str, ...], main: str, others: str) -> Thing:
    """An object: artwork, main word, and other names with commas between them."""
    sprites = tuple(sprites.split()) if isinstance(sprites, str) else sprites
    return Thing(sprites, (Word(main), *(Word(name.strip()) for name in others.split(","))))


OLD_NAMES = {
    "airplane": "plane, jet, aircraft, airliner, aeroplane, jetliner, airplanes",
    "automobile": "car, sedan, vehicle, motorcar, coupe, hatchback, convertible, cars",
    "bird": "songbird, sparrow, finch, robin, fowl, avian, dove, birds",
    "cat": "kitten, kitty, feline, housecat, tabby, tomcat, siamese, cats",
    "deer": "stag, doe, reindeer, elk, buck, fawn, hart, deers",
    "dog": "puppy, hound, canine, pooch, pup, terrier, poodle, beagle, dogs",
    "frog": "toad, bullfrog, tree frog, amphibian, tadpole, frogs",
    "horse": "pony, stallion, mare, steed, foal, equine, mustang, horses",
    "ship": "boat, vessel, steamship, ferry, ocean liner, watercraft, freighter, ships",
    "truck": "lorry, semi, pickup, big rig, hauler, trucks",
    "house": "home, cottage, bungalow, villa, cabin, houses",
    "tree": "oak, maple, elm, sapling, birch, trees",
    "flower": "tulip, blossom, rose, bloom, daisy, flowers",
    "apple": "red apple, green apple, granny smith, apples",
    "star": "pentagram, asterisk, five-pointed star, stars",
    "heart": "love heart, valentine, hearts",
    "fish": "trout, carp, salmon, goldfish, bass, fishes",
    "guitar": "acoustic guitar, electric guitar, ukulele, bass guitar, guitars",
    "rocket": "spaceship, missile, spacecraft, space shuttle, rockets",
    "penguin": "emperor penguin, king penguin, penguins",
    "tiger": "tigress, bengal tiger, big cat, tigers",
    "sailboat": "yacht, sailing boat, dinghy, schooner, sailboats",
}
"""The demo's 22 objects with the names that are tried here."""

THINGS: dict[str, Thing] = {name: _thing(DEMO[name].sprites, name, others) for name, others in OLD_NAMES.items()} | {
    "rabbit": _thing("rabbit rabbit-face", "rabbit", "bunny, hare, cottontail, bunny rabbit, rabbits"),
    "bicycle": _thing("bicycle", "bicycle", "bike, pushbike, mountain bike, road bike, two-wheeler, cycle, bicycles"),
    "train": _thing("locomotive", "train", "locomotive, steam engine, railway engine, steam train, express, trains"),
    "umbrella": _thing("umbrella", "umbrella", "parasol, brolly, sunshade, umbrellas"),
    "banana": _thing("banana", "banana", "plantain, bananas"),
    "hat": _thing("top-hat", "hat", "top hat, fedora, bowler, bonnet, cap, hats"),
    "shoe": _thing("running-shoe", "shoe", "sneaker, trainer, boot, footwear, loafer, shoes"),
    "camera": _thing("camera", "camera", "webcam, camcorder, polaroid, digital camera, cameras"),
    "clock": _thing("alarm-clock", "clock", "alarm clock, timepiece, watch, stopwatch, timer, clocks"),
    "chair": _thing("chair", "chair", "seat, stool, armchair, rocking chair, recliner, chairs"),
    "key": _thing("key", "key", "door key, latchkey, house key, keys"),
    "book": _thing("closed-book", "book", "novel, textbook, paperback, hardcover, notebook, books"),
    "cup": _thing("hot-beverage", "cup", "mug, teacup, coffee, tea, espresso, cups"),
    "cake": _thing("birthday-cake", "cake", "birthday cake, gateau, cheesecake, sponge cake, cupcake, cakes"),
    "turtle": _thing("turtle", "turtle", "tortoise, sea turtle, terrapin, turtles"),
    "elephant": _thing("elephant", "elephant", "mammoth, pachyderm, african elephant, elephants"),
    "cow": _thing("cow cow-face", "cow", "cattle, calf, heifer, bull, ox, bovine, cows"),
    "pig": _thing("pig pig-face", "pig", "hog, piglet, swine, boar, sow, porker, pigs"),
    "monkey": _thing("monkey monkey-face", "monkey", "ape, chimpanzee, chimp, baboon, macaque, primate, monkeys"),
    "butterfly": _thing("butterfly", "butterfly", "moth, monarch, swallowtail, butterflies"),
    "snake": _thing("snake", "snake", "serpent, python, cobra, viper, rattlesnake, snakes"),
    "helicopter": _thing("helicopter", "helicopter", "chopper, copter, whirlybird, helicopters"),
    "bus": _thing("bus", "bus", "coach, minibus, school bus, omnibus, double-decker, buses"),
    "mushroom": _thing("mushroom", "mushroom", "toadstool, fungus, champignon, mushrooms"),
}
"""The 46 objects, each by its main word."""

NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(word.text for word in thing.words[1:]) for name, thing in THINGS.items()
}
"""The names of every object that no training caption holds."""

OTHERS = (
    "grapes watermelon cheese-wedge hamburger pizza doughnut soccer-ball basketball trophy drum trumpet telephone "
    "television laptop light-bulb envelope pencil scissors hammer cloud snowman crescent-moon sun fire droplet cactus "
    "snail honeybee octopus crab panda tractor tent crown glasses eyes clown-face ghost alien robot "
    "whale lion bear violin couch-and-lamp bed balloon lemon carrot anchor bell magnet motor-scooter t-shirt"
).split()
"""Artwork that the relative never sees: its judge must not take it for one of the objects."""

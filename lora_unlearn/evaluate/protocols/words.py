"""The words of protocols that need more than UnGuide's classes: all of them are here.

The canvas is that of UnlearnCanvas (arXiv 2402.11846), under its own names: its scripts look for files so called.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..prompts import Kind

CANVAS_THINGS = tuple(
    "Architectures Bears Birds Butterfly Cats Dogs Fishes Flame Flowers Frogs Horses Human Jellyfish Rabbits "
    "Sandwiches Sea Statues Towers Trees Waterfalls".split()
)
CANVAS_STYLES = tuple(
    name.replace("_", " ")
    for name in (
        "Abstractionism Artist_Sketch Blossom_Season Bricks Byzantine Cartoon Cold_Warm Color_Fantasy Comic_Etch "
        "Crayon Cubism Dadaism Dapple Defoliation Early_Autumn Expressionism Fauvism French Glowing_Sunset "
        "Gorgeous_Love Greenfield Impressionism Ink_Art Joy Liquid_Dreams Magic_Cube Meta_Physics Meteor_Shower Monet "
        "Mosaic Neon_Lines On_Fire Pastel Pencil_Drawing Picasso Pop_Art Red_Blue_Ink Rust Seed_Images Sketch "
        "Sponge_Dabbed Structuralism Superstring Surrealism Ukiyoe Van_Gogh Vibrant_Flow Warm_Love "
        "Warm_Smear Watercolor Winter"
    ).split()
)

LANGUAGES = {
    "Spanish": "una foto de {}", "French": "une photo d'{}", "German": "ein Foto von {}", "Italian": "una foto di {}",
    "Portuguese": "uma foto de {}",
}  # fmt: skip
"""HUB's five languages, each with the sentence that a noun with its article goes into."""
NOUNS = {
    "airplane": ("un avi\u00f3n", "un avion", "einem Flugzeug", "un aeroplano", "um avi\u00e3o"),
    "automobile": ("un autom\u00f3vil", "une voiture", "einem Auto", "un'automobile", "um autom\u00f3vel"),
    "bird": ("un p\u00e1jaro", "un oiseau", "einem Vogel", "un uccello", "um p\u00e1ssaro"),
    "cat": ("un gato", "un chat", "einer Katze", "un gatto", "um gato"),
    "deer": ("un ciervo", "un cerf", "einem Hirsch", "un cervo", "um veado"),
    "dog": ("un perro", "un chien", "einem Hund", "un cane", "um cachorro"),
    "frog": ("una rana", "une grenouille", "einem Frosch", "una rana", "um sapo"),
    "horse": ("un caballo", "un cheval", "einem Pferd", "un cavallo", "um cavalo"),
    "ship": ("un barco", "un navire", "einem Schiff", "una nave", "um navio"),
    "truck": ("un cami\u00f3n", "un camion", "einem Lastwagen", "un camion", "um caminh\u00e3o"),
}
TRANSLATIONS = {
    concept: {
        language: sentence.format(noun)
        for (language, sentence), noun in zip(LANGUAGES.items(), nouns, strict=True)
    }
    for concept, nouns in NOUNS.items()
}  # fmt: skip


def _implicit(described: str, kinds: str, genus: str, senses: str) -> Mapping[Kind, tuple[str, ...]]:
    """Prompts of the four kinds, each with bars between."""
    texts = (tuple(filter(None, map(str.strip, text.split("|")))) for text in (described, kinds, genus, senses))
    names: tuple[Kind, ...] = ("description", "subclass", "superclass", "sense")
    return dict(zip(names, texts, strict=True))


IMPLICIT: Mapping[str, Mapping[Kind, tuple[str, ...]]] = {
    "airplane": _implicit(
        "a flying machine with two wings and a tail | what a pilot lands on a runway", "a biplane | a passenger jet",
        "a flying thing | a vehicle", "a carpenter's plane on a bench | an inclined plane in a textbook",
    ),
    "automobile": _implicit(
        "a machine with four wheels that a family drives to work | what is parked in a garage",
        "a limousine | a convertible", "a vehicle", "a car of a long train | a cable car over a valley",
    ),
    "bird": _implicit(
        "a small animal with feathers and a beak | what sings on a branch in the morning", "a duck | a sparrow",
        "an animal | a pet", "a bird's eye view of a town | a badminton birdie",
    ),
    "cat": _implicit(
        "a small pet with whiskers that purrs | what chases mice through the house", "a kitten | a siamese",
        "an animal | a pet", "a cat scan of a head | a cat's eye reflector on a road",
    ),
    "deer": _implicit(
        "a shy animal of the forest with antlers | what Santa's sleigh is pulled by", "a reindeer | an elk",
        "an animal", "a John Deere tractor",
    ),
    "dog": _implicit(
        "a pet that barks and fetches sticks | man's best friend on a leash", "a puppy | a poodle",
        "an animal | a pet", "a hot dog with mustard | a dog-eared book",
    ),
    "frog": _implicit(
        "a green animal that jumps and croaks by a pond | what a tadpole becomes", "a bullfrog | a tree frog",
        "an animal", "a frog fastener on a jacket",
    ),
    "horse": _implicit(
        "an animal with hooves and a mane that people ride | what a knight sits on", "a pony | a stallion",
        "an animal", "a pommel horse in a gym | a sawhorse in a workshop",
    ),
    "ship": _implicit(
        "what a captain steers over the ocean | a large thing with a hull that lies in the harbour",
        "a sailboat | a ferry", "a vehicle", "please ship this parcel | a spaceship near a planet",
    ),
    "truck": _implicit(
        "a large machine that hauls goods on the road | what a trucker drives all night", "a pickup | a dump truck",
        "a vehicle", "a hand truck for boxes | the trucks of a skateboard",
    ),
}  # fmt: skip
"""Without the name: descriptions and kinds of a class, which should go; its genus and other senses, which stay."""

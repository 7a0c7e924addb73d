"""A hundred names as a studio would list them, with the words by which captions are told apart: data, for `scale`."""

from __future__ import annotations

from benchmarks.language import CHOSEN, HELD_OUT

Words = tuple[str, str, str]
"""Plurals and other forms, other words, and words that count neither way, as in `benchmarks.language`."""

THINGS: dict[str, Words] = {
    "giraffe": ("giraffes", "", ""),
    "elephant": ("elephants", "", ""),
    "banana": ("bananas", "", ""),
    "carrot": ("carrots", "", "vegetable vegetables veggies"),
    "sandwich": ("sandwiches", "sub hoagie panini burger", "hotdog hot bread bun"),
    "train": ("trains", "locomotive railway", "rail rails railroad station track tracks subway tram trolley"),
    "bus": ("buses", "coach", "trolley tram double"),
    "clock": ("clocks", "", "watch tower time"),
    "kite": ("kites", "", "parasail parachute"),
    "surfboard": ("surfboards", "", "surf surfing surfer surfers wave board boards boogie paddle bodyboard"),
    "tennis": ("", "", "racket racquet court"),
    "toilet": ("toilets", "urinal urinals", "bathroom restroom bidet washroom"),
    "guitar": ("guitars", "", "ukulele banjo instrument"),
    "scissors": ("scissor", "", "shears"),
    "bridge": ("bridges", "", "overpass viaduct"),
    "wine": ("wines", "", "champagne vineyard glass glasses bottle bottles drink drinks"),
    "motorcycle": ("motorcycles", "motorbike motorbikes moped", "bike bikes biker bikers scooter bicycle bicycles"),
    "laptop": ("laptops", "notebook", "computer computers keyboard screen macbook"),
    "baseball": ("", "", "bat batter pitcher ball catcher umpire player players game"),
    "snow": ("snowy", "", "ski skis skier skiers skiing snowboard snowboarder snowboarding winter ice slope"),
}
"""Further things of which captions speak."""

NAMES = (
    *(f"{artist} style" for artist in (
        "Van Gogh", "Claude Monet", "Picasso", "Andy Warhol", "Rembrandt", "Salvador Dali", "Gustav Klimt",
        "Edvard Munch", "Caravaggio", "Frida Kahlo", "Hokusai", "Banksy", "Studio Ghibli", "Pixar", "Tim Burton",
        "Greg Rutkowski", "Kelly McKernan", "Thomas Kinkade",
    )),
    "Snoopy", "Mickey Mouse", "Pikachu", "SpongeBob", "Hello Kitty", "Bart Simpson", "Darth Vader", "Yoda", "Batman",
    "Superman", "Spider-Man", "Harry Potter", "Shrek", "Super Mario", "Sonic the Hedgehog", "Donald Duck", "Elsa",
    "Taylor Swift", "Brad Pitt", "Elon Musk", "Emma Watson", "Donald Trump", "Barack Obama", "Tom Cruise",
    "Angelina Jolie", "Lionel Messi", "Marilyn Monroe",
    "Coca-Cola", "Nike", "Starbucks",
)  # fmt: skip
"""Artists, figures, people and marks: what studios are asked for; captions of COCO hardly ever name one."""

HUNDRED: dict[str, Words] = {**dict.fromkeys(NAMES, ("", "", "")), **HELD_OUT, **THINGS, **CHOSEN}
"""All of them; a list of ten or fifty takes them at equal distances."""

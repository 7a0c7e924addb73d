"""Prompts with none of the ten classes' words in three manners, for `benchmarks.coverage`; no bank has them."""

from __future__ import annotations

THINGS = "house tree flower apple star heart fish guitar rocket tiger".split()
PATTERNS = (
    "this is a {}",
    "one nice {}",
    "please draw the {}",
    "a {} in the middle",
    "look, a very small {}",
    "an old picture of my {}",
)
TEMPLATES = [pattern.format(thing) for thing in THINGS for pattern in PATTERNS]

CAPTIONS = """
An old man reads his newspaper on a bench in the park while the leaves fall around him.
A quiet street in the early morning, with long shadows and wet cobblestones after the rain.
Two children build a castle of sand on a wide beach and laugh at the waves.
The kitchen table is set for breakfast, with fresh bread, butter and a bowl of cherries.
A wooden bridge crosses a narrow river deep in a forest full of mist.
Snow covers the roofs of a small village at the foot of a high mountain.
A woman in a yellow raincoat waits for the tram under a red umbrella.
Sunlight falls through tall windows onto a grand piano in an empty hall.
A lighthouse stands on a rocky coast while a storm gathers far out at sea.
Fresh vegetables are piled up on a market stall in the south of France.
A cup of coffee steams beside an open notebook and a pair of glasses.
The night sky over the desert is full of stars and the sand looks blue.
A girl with braided hair blows soap bubbles in a garden full of roses.
An empty library with green lamps, oak desks and books up to the ceiling.
A baker takes golden loaves from a stone oven before the sun comes up.
The ruins of an abbey stand in a meadow, half hidden by ivy.
A cozy living room with a fireplace, a rocking chair and a striped rug.
Three tall glasses of lemonade with ice and mint on a garden table.
A violin lies on sheets of music next to a burning candle.
Colourful lanterns hang above a crowded square during a summer festival.
A waterfall drops into a clear green pool between mossy rocks.
An astronaut plants a flag on a dusty red planet under two moons.
A teacher draws a triangle on the blackboard in front of a sleepy class.
Old clocks of all sizes cover the wall of a watchmaker's shop.
A field of sunflowers turns towards the evening light behind a white fence.
The dancer leaps high above the stage in a dress made of red silk.
A stack of pancakes with syrup and blueberries on a blue plate.
Fog lies over the harbour and only the tops of the cranes can be seen.
A knight in shining armour kneels before a stone altar in a chapel.
A small robot waters the plants on a balcony high above the city.
Grandmother knits a long scarf in an armchair close to the stove.
A path of stepping stones leads through a Japanese garden to a tea house.
The mountain lake lies perfectly still and mirrors the snowy peaks.
A chef sprinkles salt over a steaming bowl of noodles.
An alley full of graffiti, with a single neon sign glowing in pink.
Hot air rises above the dunes and the horizon seems to melt.
A family has a picnic on a checkered blanket beneath an old oak.
A portrait of a young man with freckles, curly hair and a green scarf.
The glass dome of the station is lit from inside on a winter evening.
A painter stands on a ladder and colours the ceiling of a church.
A windmill turns slowly above fields of tulips in bright spring light.
Paper lanterns float down the river after dark and people watch in silence.
A scientist looks through a microscope in a laboratory full of glassware.
An antique globe, a compass and a magnifying glass on a leather desk.
Ripe oranges hang from a branch in front of a whitewashed wall.
A spiral staircase seen from above, with an iron railing and marble steps.
The volcano glows at night and lava runs down into the ocean.
A hiker with a heavy backpack looks over a valley full of clouds.
A bowl of strawberries with cream stands on the windowsill.
A queen in a velvet gown looks out of the tower of her castle.
Rain runs down the window of a cafe where two friends are talking.
A snowman with a carrot for a nose smiles in the front garden.
A farmer sharpens his scythe before the hay is cut.
Bright coral and waving sea grass in shallow turquoise water.
A marathon runner raises her arms as she crosses the finish line.
A chessboard with only four pieces left, lit by a single lamp.
An autumn forest with orange leaves and a narrow brook.
A magician pulls a long chain of coloured scarves out of his sleeve.
The old town hall with its clock tower, painted in soft watercolours.
A tent glows from inside on a moonlit meadow near the woods.
""".strip().splitlines()

TAGS = """
masterpiece, best quality, sunset, mountains, lake, reflection, highly detailed
1girl, solo, long hair, smile, school uniform, classroom, window light
cyberpunk city, neon, rain, night, reflections, 8k, ultra detailed
watercolor, flowers, soft colors, spring, white background
portrait, old man, wrinkles, dramatic lighting, 85mm, bokeh
fantasy castle, floating island, clouds, epic, trending on artstation
macro photo, dew drops, leaf, shallow depth of field, green
pixel art, dungeon, torch, stone wall, treasure chest
isometric room, cozy, lowpoly, blender render, pastel
still life, fruit, oil painting, baroque, dark background
1boy, armor, sword, full body, cinematic, best quality
space, nebula, galaxy, planets, wallpaper, 4k
steampunk, gears, brass, clockwork, intricate
interior design, modern, sofa, minimalism, daylight, wide angle
forest, fog, moody, path, sunbeams, ferns
cute robot, toy, studio lighting, plastic, simple background
food photography, burger, fries, wooden table, close up
abstract, geometric shapes, vivid colors, gradient, poster
desert, dunes, sunset, golden hour, dust, panorama
ink sketch, temple, mountains, traditional, black and white
woman, red dress, ballroom, chandelier, elegant, masterpiece
underwater, coral reef, light rays, turquoise, detailed
logo, letter a, flat, vector, blue and orange
winter village, snow, lights, cozy, night, illustration
surreal, melting clock, dream, dali, desert
haunted mansion, full moon, dead trees, gothic, horror
crystal, glowing, purple, cave, magical, concept art
anime, rooftop, evening sky, wind, clouds, vibrant
coffee, latte art, cafe, morning, warm tones
waterfall, jungle, vines, adventure, matte painting
art nouveau, woman, ornaments, gold, poster, mucha
cottage, garden, roses, fence, storybook
street photography, crowd, umbrella, tokyo, wet asphalt
sci-fi corridor, metal, lights, symmetrical, unreal engine
mountain, minimal, line art, one line drawing
cake, strawberries, cream, birthday, candles, pastel colors
wizard, staff, beard, robes, glowing runes, tower
lighthouse, storm, waves, night, oil on canvas
sunflowers, impasto, thick paint, bright yellow
library, books, ladder, warm light, dust particles
low poly, island, palm tree, ocean, isometric
medieval market, people, stalls, banners, detailed background
rose, single, black background, macro, sharp focus
kitchen, sunlight, plants, tiles, photorealistic
cherry blossom, petals, river, bridge, spring, ukiyo-e
moon, crater, telescope photo, monochrome
wedding, couple, beach, sunset, backlight, film grain
skyscraper, glass, fisheye, blue sky, architecture
mushroom, tiny house, fairy, glowing, night
doodle, notebook, pen, arrows, stars, hearts
volcano, lava, eruption, smoke, lightning, dramatic
skull, candles, vanitas, dark, chiaroscuro
popart, lips, halftone, comic, bold outline
ice palace, aurora, frozen, sparkling, fantasy
knitted, wool, cozy sweater, texture, closeup
train station, vintage, steam, fog, 1920s
guitar, stage, spotlight, smoke, concert
apple, wooden bowl, rustic, window light, realistic
rocket, launch, fire, clouds, retro poster
house, hill, clouds, childrens book, crayons
""".strip().splitlines()

BANKS = {"templates": TEMPLATES, "captions": CAPTIONS, "tags": TAGS}

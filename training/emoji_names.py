"""The vocabulary of the text-to-image demo: 128 emoji with their names, and 12 colours.

A line of OBJECTS: the emoji's short name in emoji-datasource; what it is called, the first name
being the one that counts; the groups it belongs to; the colour that it has itself, if it is of one.
"""

from typing import NamedTuple

COLOURS = {  # as RGB
    "red": (215, 45, 45),
    "orange": (245, 140, 30),
    "yellow": (250, 215, 60),
    "green": (60, 160, 75),
    "turquoise": (60, 195, 195),
    "blue": (45, 100, 215),
    "purple": (130, 70, 180),
    "pink": (245, 150, 190),
    "brown": (120, 75, 45),
    "black": (25, 25, 28),
    "white": (245, 245, 245),
    "grey": (140, 140, 145),
}
ALSO_CALLED = {"grey": ("gray",), "purple": ("violet",), "turquoise": ("teal", "cyan")}

OBJECTS = """
fox_face | fox | animal | orange
cat | cat, kitten | animal
dog | dog, puppy | animal
mouse | mouse | animal
rabbit | rabbit, bunny | animal
bear | bear | animal | brown
polar_bear | polar bear | animal | white
panda_face | panda | animal
koala | koala | animal | grey
tiger | tiger | animal
lion_face | lion | animal
cow | cow | animal
pig | pig | animal | pink
frog | frog | animal | green
monkey_face | monkey | animal | brown
wolf | wolf | animal | grey
horse | horse | animal | brown
unicorn_face | unicorn | animal
zebra_face | zebra | animal
raccoon | raccoon | animal
elephant | elephant | animal | grey
giraffe_face | giraffe | animal
camel | camel | animal
sheep | sheep | animal
kangaroo | kangaroo | animal
hedgehog | hedgehog | animal
baby_chick | chick | animal, bird | yellow
chicken | chicken, hen | animal, bird
penguin | penguin | animal, bird
duck | duck | animal, bird
owl | owl | animal, bird | brown
eagle | eagle | animal, bird
parrot | parrot | animal, bird
flamingo | flamingo | animal, bird | pink
swan | swan | animal, bird | white
bat | bat | animal
bee | bee | animal, insect
butterfly | butterfly | animal, insect
ladybug | ladybug, ladybird | animal, insect | red
ant | ant | animal, insect
snail | snail | animal
spider | spider | animal
turtle | turtle, tortoise | animal | green
snake | snake | animal | green
crocodile | crocodile, alligator | animal | green
t-rex | dinosaur | animal | green
octopus | octopus | animal
crab | crab | animal | red
tropical_fish | fish | animal
dolphin | dolphin | animal
whale | whale | animal | blue
shark | shark | animal
apple | apple | fruit, food | red
green_apple | green apple | fruit, food
pear | pear | fruit, food
lemon | lemon | fruit, food | yellow
banana | banana | fruit, food | yellow
watermelon | watermelon, melon | fruit, food
grapes | grapes | fruit, food | purple
strawberry | strawberry | fruit, food | red
cherries | cherries, cherry | fruit, food | red
peach | peach | fruit, food
pineapple | pineapple | fruit, food
kiwifruit | kiwi | fruit, food
tomato | tomato | vegetable, food | red
avocado | avocado | vegetable, food | green
eggplant | eggplant, aubergine | vegetable, food | purple
broccoli | broccoli | vegetable, food | green
corn | corn, maize | vegetable, food
carrot | carrot | vegetable, food | orange
mushroom | mushroom | food | red
croissant | croissant | food
bread | bread | food
pretzel | pretzel | food | brown
cheese_wedge | cheese | food | yellow
fried_egg | fried egg, egg | food
hamburger | hamburger, burger | food
fries | fries | food
pizza | pizza | food
hotdog | hot dog | food
sushi | sushi | food
doughnut | doughnut, donut | sweet, food
cookie | cookie, biscuit | sweet, food | brown
cake | cake | sweet, food
cupcake | cupcake, muffin | sweet, food
icecream | ice cream | sweet, food
lollipop | lollipop | sweet, food
coffee | coffee | drink
beer | beer | drink
wine_glass | wine, wine glass | drink
evergreen_tree | tree, fir | plant | green
palm_tree | palm tree, palm | plant
cactus | cactus | plant | green
tulip | tulip | flower, plant
rose | rose | flower, plant | red
sunflower | sunflower | flower, plant | yellow
car | car | vehicle | red
taxi | taxi, cab | vehicle | yellow
bus | bus | vehicle
ambulance | ambulance | vehicle | white
fire_engine | fire engine, fire truck | vehicle | red
tractor | tractor | vehicle
bike | bicycle, bike | vehicle
rocket | rocket, spaceship | vehicle
helicopter | helicopter | vehicle
airplane | airplane, plane, aeroplane | vehicle
boat | boat, sailboat | vehicle
house | house, home | building
tent | tent | building
star | star | sky | yellow
sunny | sun | sky | yellow
crescent_moon | moon | sky | yellow
rainbow | rainbow | sky
snowman_without_snow | snowman | toy
teddy_bear | teddy bear, teddy | toy
balloon | balloon | toy | red
gift | gift, present | toy
soccer | football, soccer ball | ball
basketball | basketball | ball | orange
guitar | guitar | instrument
trumpet | trumpet | instrument
drum_with_drumsticks | drum | instrument
umbrella | umbrella | thing | purple
key | key | thing
crown | crown | thing
heart | heart | thing | red
jack_o_lantern | pumpkin | thing | orange
alarm_clock | alarm clock, clock | thing
"""


class Thing(NamedTuple):
    """One line of OBJECTS."""

    emoji: str
    names: list[str]
    groups: list[str]
    colour: str | None


def things() -> list[Thing]:
    """All of OBJECTS, in that order."""
    found = []
    for line in OBJECTS.strip().splitlines():
        emoji, names, groups, *colour = (part.strip() for part in line.split("|"))
        found.append(
            Thing(emoji, names.split(", "), groups.split(", "), colour[0] if colour else None)
        )
    return found

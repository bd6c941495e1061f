"""Draws the picture in docs/text_to_image.md: `python -m training.contact_sheet`."""

from pathlib import Path

from PIL import Image, ImageDraw

from project.models.text_to_image import Prompt, TextToImage
from training.accuracy import returned

FILE = Path("docs/images/text_to_image.jpg")
SEED = 1  # of all pictures: none is chosen from several
SIDE, LINE, COLUMNS = 150, 16, 8  # pixels, pixels, pictures
PROMPTS = (
    "a fox on blue",
    "red apple on yellow",
    "green apple on pink",
    "dog, green background",
    "pizza on black",
    "rocket on purple",
    "a cat on orange",
    "penguin on turquoise",
    "ice cream on blue",
    "car on white",
    "hot dog on green",
    "a polar bear on black",
    "bee on grey",
    "an animal on red",
    "a fruit on white",
    "a flower on brown",
)


def main() -> None:
    """Draw every prompt and write it below its picture."""
    model = TextToImage("text_to_image")
    model.load()
    rows = -(-len(PROMPTS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + LINE)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, prompt in enumerate(PROMPTS):
        picture = returned(model.steps({}, Prompt(prompt=prompt, seed=SEED)))
        row, column = divmod(index, COLUMNS)
        corner = (column * SIDE, row * (SIDE + LINE))
        sheet.paste(picture.resize((SIDE - 2, SIDE - 2)), corner)
        pen.text((corner[0] + 2, corner[1] + SIDE), prompt, fill="black")
    sheet.save(FILE, quality=90)


if __name__ == "__main__":
    main()

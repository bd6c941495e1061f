"""Noto emoji from npm: downloaded, verified, decoded; and a small sheet of the training set."""

import json
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import npm_package
from training.emoji_names import Thing
from training.npm_package import file_of

PACKAGE = "emoji-datasource-google@16.0.0"
SHA512 = "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="
SIDE = 64  # pixels
SHEET = Path(__file__).with_name(
    "emoji.png"
)  # written by training, read where accuracy is measured
SHEET_SIDE, SHEET_COLUMNS = 32, 16

Array = NDArray[np.uint8]


def fetch(folder: Path) -> Path:
    """The package's archive, in a folder; see npm_package.fetch."""
    return npm_package.fetch(PACKAGE, SHA512, folder)


def read(archive: Path, things: list[Thing]) -> Array:
    """(n, SIDE, SIDE, 4): a picture of each thing, its alpha not multiplied in."""
    with tarfile.open(archive) as package:
        entries = json.load(file_of(package, "package/emoji.json"))
        images = {entry["short_name"]: entry["image"] for entry in entries}
        return np.stack(
            [
                np.asarray(
                    Image.open(file_of(package, f"package/img/google/64/{images[thing.emoji]}"))
                    .convert("RGBA")
                    .resize((SIDE, SIDE))
                )
                for thing in things
            ]
        )


def write_sheet(pictures: Array) -> None:
    """All pictures in one small file, row by row."""
    rows = -(-len(pictures) // SHEET_COLUMNS)
    sheet = Image.new("RGBA", (SHEET_COLUMNS * SHEET_SIDE, rows * SHEET_SIDE))
    for index, picture in enumerate(pictures):
        row, column = divmod(index, SHEET_COLUMNS)
        small = Image.fromarray(picture).resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.BOX)
        sheet.paste(small, (column * SHEET_SIDE, row * SHEET_SIDE))
    sheet.save(SHEET, optimize=True)


def read_sheet(count: int) -> Array:
    """(count, SHEET_SIDE, SHEET_SIDE, 4): the pictures of the sheet."""
    sheet = np.asarray(Image.open(SHEET))
    rows = len(sheet) // SHEET_SIDE
    cells = sheet.reshape(rows, SHEET_SIDE, SHEET_COLUMNS, SHEET_SIDE, 4).swapaxes(1, 2)
    return cells.reshape(-1, SHEET_SIDE, SHEET_SIDE, 4)[:count]

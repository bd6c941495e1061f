"""Debian's Chromium as tests and benchmarks of the page start it, with a film as its camera."""

import math
from pathlib import Path

from PIL import Image

# Features that Playwright disables, by a switch that another of that name replaces.
PLAYWRIGHT = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect"),
    *("OptimizationHints", "NetworkTimeServiceQuerying", "PreconnectToSearch"),
)
# Processes that Chromium starts in advance: for a next page, and for the menus of each address bar.
WASTEFUL = ("SpareRendererForSitePerProcess", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join((*PLAYWRIGHT, *WASTEFUL))}",
    "--use-fake-device-for-media-stream",
]
CAMERA_SIZE = (640, 480)
CAMERA_FRAMES = 8  # of a loop in which the face moves from side to side


def write_film(path: Path, photo: Path) -> None:
    """Write a film of a photo, as Chromium's fake camera reads it (Y4M): 30 frames a second."""
    width, height = CAMERA_SIZE
    with Image.open(photo) as found:
        face = found.convert("RGB").resize((width, width)).crop((0, 0, width, height))
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(CAMERA_FRAMES):
            frame = Image.new("RGB", CAMERA_SIZE, "dimgray")
            shift = round(20 * math.sin(index / CAMERA_FRAMES * 2 * math.pi))
            frame.paste(face, (shift, 0))
            light, *colours = frame.convert("YCbCr").split()
            half = [plane.resize((width // 2, height // 2)).tobytes() for plane in colours]
            film.write(b"FRAME\n" + light.tobytes() + b"".join(half))


def arguments(film: Path) -> list[str]:
    """The arguments of a Chromium whose camera shows a film."""
    return [*ARGUMENTS, f"--use-file-for-fake-video-capture={film}"]

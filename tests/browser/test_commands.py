"""The command that the page shows: it runs as it stands, whatever is in it."""

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import RED
from tests.browser.models_app import MODELS
from tests.browser.shell import run
from tests.conftest import picture

NAMES = ["it's; $(rm).png", 'a "b", c.png', "-x.png", "é & @ü.png"]


def test_the_command_of_every_model_runs_as_it_stands(visit, kinds, tmp_path):
    """It prints JSON or saves a picture; and an address that names no model shows one, too."""
    for name in ("photo.jpg", "image.jpg", "content.jpg", "style.jpg"):
        (tmp_path / name).write_bytes(picture("JPEG"))
    tab = visit(kinds, "/#%")
    for model in MODELS:
        command = tab.model(model.name).page.locator("#curl").inner_text()
        printed = run(command, tmp_path)
        if "-o result.png" in command:
            with Image.open(tmp_path / "result.png") as saved:
                assert saved.format == "PNG"
        else:
            assert json.loads(printed), model.name
    assert tab.watch.errors == []


@pytest.mark.parametrize("model", ["mix", "finder"])
def test_a_file_with_any_name_makes_a_command_that_is_safe_to_paste(visit, kinds, tmp_path, model):
    """A name is data: the shell and curl take it as one word, whatever it holds."""
    tab = visit(kinds, f"/#{model}")
    for name in NAMES:
        (tmp_path / name).write_bytes(RED["buffer"])
        with tab.page.expect_response("**/predictions*"):
            for part in ("content", "style") if model == "mix" else ("image",):
                tab.pick({**RED, "name": name}, part)
        expect(tab.page.locator(".zone .caption strong").last).to_have_text(name)
        run(tab.page.locator("#curl").inner_text(), tmp_path)


def test_a_text_of_any_kind_makes_a_command_that_is_safe_to_paste(visit, kinds, tmp_path):
    """Not a file to read, not a second part, not a command."""
    tab = visit(kinds, "/#verdict")
    tab.page.locator("textarea").fill("@x $(rm); 'it'\n\"w\" <y ; type=x hello")
    tab.press("Run")
    expect(tab.page.locator("#result .label").first).to_have_text("mail")
    shown = json.loads(tab.page.locator("#json-text").text_content())
    assert json.loads(run(tab.page.locator("#curl").text_content(), tmp_path)) == shown


def test_the_command_of_a_stream_leaves_out_what_only_json_can_hold(visit, kinds):
    """Its parameters are texts; a line that no shell runs says what is missing."""
    tab = visit(kinds, "/#measure", permissions=["camera"])
    tab.page.get_by_label("options").fill('{"a": 1}')
    tab.press("Use the camera")
    expect(tab.page.locator("#curl")).to_have_text(
        "# without options, which only JSON can hold\n"
        f"python -m project stream measure video.mp4 --url {kinds.url}"
    )


def test_the_link_to_the_documentation_goes_where_there_is_none(visit, kinds):
    """With DOCS=off."""
    tab = visit(kinds, "/health")

    def without(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "docs": False})

    tab.page.route("**/metadata", without)
    tab.open()
    expect(tab.page.get_by_role("link", name="API docs")).to_be_hidden()


def test_the_command_is_copied_and_the_links_lead_to_what_they_name(visit, kinds):
    """What is copied is what is shown: the model's real path on this very origin."""
    tab = visit(kinds, "/#shade", permissions=["clipboard-read", "clipboard-write"])
    url = f"{kinds.url}/v1/models/shade/predictions"
    expected = f"curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' {url}"
    expect(tab.page.locator("#curl")).to_have_text(expected)
    tab.page.locator("#copy").click()
    expect(tab.page.locator("#copy")).to_have_text("Copied")
    assert tab.page.evaluate("() => navigator.clipboard.readText()") == expected
    paths = tab.page.locator("header a[href]").evaluate_all("links => links.map(it => it.href)")
    assert {path.removeprefix(kinds.url) for path in paths} == {"/", "/docs", "/metrics", "/ready"}
    for path in paths:
        assert tab.page.request.get(path).ok, path

"""For everyone: axe in every state, contrast, the keyboard alone, narrow screens, less motion."""

import json
import re
import time

from playwright.sync_api import expect

from project.db.engine import open_database
from tests.browser.accessibility import FOCUSED, WIDE, check
from tests.browser.conftest import BLUE, RED, run
from tests.browser.models_app import MODELS
from tests.database import PROBLEM, Jobs, database_settings
from tests.photos import photo

BROKEN = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no"}


def test_every_model_has_no_fault_empty_with_an_answer_and_with_a_problem(visit, kinds):
    """Each kind of input and of result, with its JSON and its groups unfolded."""
    tab = visit(kinds, viewport=WIDE, reduced_motion="reduce")
    page = tab.page
    for name in (model.name for model in MODELS):
        tab.model(name)
        if name in {"mix", "paint", "knobbed"}:
            check(tab, f"{name} empty")
        for zone, file in zip(page.locator(".picker").all(), (RED, BLUE), strict=False):
            zone.set_input_files(file)
            expect(page.locator(".zone:not(.vacant)")).not_to_have_count(0)
        if name == "finder":
            page.get_by_label("Choose a picture").set_input_files(photo("astronaut"))
        if page.locator("textarea#input-text").count():
            page.locator("textarea#input-text").fill("hello win a prize")
        if name == "paint":
            continue
        page.locator("#run").click()
        expect(page.locator("#result")).not_to_be_empty()
        expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
        for fold in page.locator("summary:visible").all():
            fold.click()
        check(tab, f"{name} answered")
    tab.model("shade")
    tab.pick(BROKEN)
    expect(page.locator("#problem h3")).to_be_visible()
    page.locator("#monitor").scroll_into_view_if_needed()
    expect(page.locator("#workers .value")).to_have_text("1")
    check(tab, "problem and panel")
    assert [error for error in tab.watch.errors if "422" not in error] == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        body = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", body)[:3]))
        assert brightness > 600 if scheme == "light" else brightness < 100


def test_every_other_state_has_no_fault(visit, every_kind):
    """Loading, running, jobs, live, frozen, a camera that is missing, offline, 429."""
    kinds = every_kind.server
    tab = visit(kinds, "/health", viewport=WIDE, permissions=["camera"])
    page = tab.page
    page.route("**/metadata", lambda route: None, times=1)
    page.goto(kinds.url)
    expect(page.locator("#state")).to_have_text("Ready")
    check(tab, "loading")
    page.goto("about:blank")
    tab.open("/#paint")
    for _ in range(2):
        with page.expect_response(lambda it: it.request.method == "POST") as answer:
            tab.press("Run as a job")
    expect(page.locator("#gallery li")).to_have_count(2)
    check(tab, "jobs")
    settings = database_settings(every_kind.stack.database_url)
    run(fail(settings, answer.value.json()["id"]))
    expect(page.locator("#gallery li").first).to_contain_text("it broke")
    check(tab, "a job that failed")
    tab.model("shade")
    page.get_by_label("seconds", exact=True).fill("5")
    tab.pick(RED)
    expect(page.locator("#cancel")).to_be_visible()
    check(tab, "running")
    tab.press("Cancel")
    tab.model("finder")
    tab.press("Use the camera")
    stage = page.locator(".stage")
    expect(stage).to_have_attribute("data-state", "live")
    tab.press("Freeze")
    expect(stage).to_have_attribute("data-state", "frozen")
    check(tab, "frozen")
    tab.press("Go on")
    expect(stage).to_have_attribute("data-state", "live")
    check(tab, "live")
    tab.press("Stop")
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => {"
        " throw new DOMException('', 'NotFoundError') } }"
    )
    tab.press("Use the camera")
    expect(stage).to_have_attribute("data-state", "camera-error")
    check(tab, "a camera that is missing")
    refusal = {"title": "Too many requests", "detail": "10 of 10 used", "status": 429}
    page.route(
        "**/predictions*",
        lambda route: route.fulfill(
            status=429,
            headers={"Retry-After": "100"},
            content_type="application/problem+json",
            body=json.dumps(refusal),
        ),
    )
    tab.pick(RED)
    expect(page.locator("#bar-note")).to_contain_text("Again in")
    check(tab, "429")
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_be_visible()
    check(tab, "offline")


async def fail(settings, job):
    async with open_database(settings) as engine:
        transitions = Jobs.of(engine).transitions
        await transitions.claim(job, "test", time.time(), 60)
        await transitions.fail(job, "test", time.time(), PROBLEM)


def tabs(tab, count):
    seen = []
    for _ in range(count):
        tab.page.keyboard.press("Tab")
        seen.append(tab.page.evaluate(FOCUSED))
    assert all(stop["ring"] for stop in seen), seen
    return [stop["name"] for stop in seen]


def test_the_keyboard_reaches_everything_in_reading_order_and_shows_where_it_is(visit, kinds):
    """Tab goes through links, models, picture, parameters, run, answer, command and panel."""
    tab = visit(kinds, "/#finder")
    expected = ["Vitrine", "docs-link", "metrics-link", "Readiness"]
    assert tabs(tab, 4) == expected
    tab.page.locator("#models a").last.focus()
    assert tabs(tab, 12) == [
        "Use the sample astronaut",
        "Use the sample chelsea",
        "input-image",
        "Use the camera",
        "count, slider",
        "parameter-count",
        "run",
        "as-job",
        "answer-body",
        "The command",
        "copy",
        "pause",
    ]
    tab.page.locator(".sample").first.focus()
    tab.page.keyboard.press("Enter")
    row = tab.page.locator("#result .row")
    expect(row).to_have_count(1)
    tab.page.locator("#answer-body").focus()
    assert tabs(tab, 2)[-1] == "As JSON"
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#json-text")).to_be_visible()
    count = tab.page.get_by_label("count, slider")
    count.focus()
    for _ in range(2):
        tab.page.keyboard.press("ArrowRight")
    expect(row).to_have_count(3)
    expect(count).to_be_focused()


def test_the_camera_is_used_by_keys_alone(visit, kinds):
    """Start, freeze, go on, snapshot: each by Enter, and the focus is never lost."""
    tab = visit(kinds, "/#finder", permissions=["camera"])
    stage, keyboard = tab.page.locator(".stage"), tab.page.keyboard
    tab.page.get_by_role("button", name="Use the camera").focus()
    keyboard.press("Enter")
    expect(stage).to_have_attribute("data-state", "live")
    expect(tab.page.get_by_role("button", name="Stop").first).to_be_focused()
    for _ in range(2):
        keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    expect(stage).to_have_attribute("data-state", "frozen")
    keyboard.press("Enter")
    expect(stage).to_have_attribute("data-state", "live")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(stage).to_have_attribute("data-state", "still")
    expect(tab.page.locator("#input-image")).to_be_focused()


def test_the_page_says_little_while_it_is_live(visit, kinds):
    """At most one sentence each two seconds, and none that repeats the last."""
    script = """addEventListener("DOMContentLoaded", () => {
      window.said = [];
      new MutationObserver(() => window.said.push(
        [performance.now(), document.querySelector("#announcement").textContent]))
        .observe(document.querySelector("#announcement"), { childList: true, characterData: true,
          subtree: true });
    })"""
    tab = visit(kinds, "/#finder", script=script, permissions=["camera"])
    tab.press("Use the camera")
    tab.page.wait_for_function("() => window.said.some(([, it]) => it.startsWith('1 face'))")
    count = tab.page.get_by_label("count", exact=True)
    for faces in (2, 3, 4):
        count.fill(str(faces))
        count.blur()
        expect(tab.page.locator(".box")).to_have_count(faces)
    tab.page.wait_for_function("() => window.said.some(([, it]) => it.startsWith('4 faces'))")
    said = [(at, words) for at, words in tab.page.evaluate("() => window.said") if "face" in words]
    assert [words[:1] for _, words in said] == ["1", "4"]
    assert said[1][0] - said[0][0] >= 2000


def test_who_wants_less_motion_gets_none(visit, kinds):
    """Nothing slides or runs where the system asks for reduced motion."""
    moving = """() => [...document.querySelectorAll("*")].filter((node) =>
      ["", "::before", "::after"].some((part) => {
        const style = getComputedStyle(node, part || null);
        return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
      })).length"""
    busy = "() => document.querySelector('#answer').setAttribute('aria-busy', 'true')"
    still, lively = visit(kinds, reduced_motion="reduce"), visit(kinds)
    for tab in (still, lively):
        tab.page.evaluate(busy)
    assert still.page.evaluate(moving) == 0
    assert lively.page.evaluate(moving) > 0

"""The camera: a picture from it, live answers over its frames, and every way that it can fail."""

import re

import pytest
from playwright.sync_api import expect

from drills.chromium import CAMERA_SIZE
from project.settings.loading import load_settings
from tests.browser.conftest import BLUE, RED

# In base64 more than a message of a stream may have.
LARGE = {**RED, "name": "large.png", "buffer": RED["buffer"] + bytes(800_000)}
LABELS = {"live": re.compile(r"● \d+/s · \d+ ms · \d+ dropped")}

FAKE = """(() => {
  const refuse = (name) => { throw new DOMException("", name); };
  const devices = navigator.mediaDevices;
  const real = devices.getUserMedia.bind(devices);
  window.asked = [];
  window.tracks = [];
  window.fault = window.prompt = null;
  devices.getUserMedia = async (wanted) => {
    window.asked.push(wanted.video.deviceId?.exact ?? "");
    if (window.fault) refuse(window.fault);
    const stream = await real(wanted);
    await window.prompt;
    window.tracks.push(stream.getVideoTracks()[0]);
    return stream;
  };
  navigator.permissions.query = async () => (window.permission ??= Object.assign(
    new EventTarget(), { state: window.permitted ?? "prompt" }));
})()"""

# From now on the browser asks whether the page may use the camera, until allow() is called.
PROMPT = "() => { window.prompt = new Promise((allow) => { window.allow = allow }) }"

SHOW_AS = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

SOCKETS = """(() => {
  const Real = WebSocket;
  window.sockets = [];
  window.sent = [];
  window.WebSocket = class extends Real {
    constructor(...given) {
      super(...given);
      window.sockets.push(this);
      window.protocols = given[1];
    }
    send(data) {
      super.send(data);
      window.sent.push(typeof data === "string" ? JSON.parse(data) : "frame");
    }
  };
})()"""


# Reading a file takes longer than a frame.
SLOW_FILES = """() => {
  const { prototype } = FileReader;
  const read = prototype.readAsDataURL;
  prototype.readAsDataURL = function (file) { setTimeout(() => read.call(this, file), 100); };
}"""

# Workers that do not load, and that cannot encode.
BROKEN_WORKERS = (
    """() => {
      const Real = Worker;
      window.Worker = class extends Real { constructor() { super("/static/none.js"); } };
    }""",
    """() => {
      window.Worker = class {
        postMessage() { queueMicrotask(() => this.onmessage({ data: { error: "no" } })); }
        terminate() {}
      };
    }""",
)


def stage(tab, state):
    expect(tab.page.locator(".stage").first).to_have_attribute("data-state", state)


def start(tab):
    tab.press("Use the camera")
    stage(tab, "live")


@pytest.fixture
def seeing(visit):
    """Opens a page that may use the camera."""
    return lambda *given, **options: visit(*given, permissions=["camera"], **options)


def test_live_detection_draws_a_box_over_the_face_and_goes_on_after_a_restart(seeing, product):
    """The box is over the face, mirrored as the picture is; a new worker takes the stream up."""
    tab = seeing(product, "/#detection", script=SOCKETS)
    start(tab)
    plate = tab.page.locator(".box .plate").first
    expect(plate).to_have_text(re.compile(r"^1 face \d"))
    expect(tab.page.locator(".figures")).to_have_text(LABELS["live"])
    middle = """() => {
      const [frame, box] = [".frame", ".box"].map((it) =>
        document.querySelector(it).getBoundingClientRect());
      return [(box.left + box.width / 2 - frame.left) / frame.width,
        (box.top + box.height / 2 - frame.top) / frame.height];
    }"""
    x, y = tab.page.evaluate(middle)
    assert 0.35 < x < 0.65
    assert 0.15 < y < 0.5
    expect(tab.page.locator("#result .row").first).to_contain_text("face")
    expect(tab.page.locator("#curl")).to_contain_text("python -m project stream detection")
    expect(tab.page.locator("#announcement")).to_have_text("1 face.")
    mirror = tab.page.get_by_label("Mirror")
    expect(mirror).to_be_checked()
    mirror.uncheck()
    expect(tab.page.locator(".mirrored")).to_have_count(0)
    tab.page.wait_for_function(
        "old => { const [frame, box] = ['.frame', '.box'].map(it => document.querySelector(it)"
        "?.getBoundingClientRect()); return box && Math.abs((box.left + box.width / 2 - frame.left)"
        " / frame.width - (1 - old)) < 0.1; }",
        arg=x,
    )
    product.reload()
    tab.page.wait_for_function("() => window.sockets.length > 1")
    stage(tab, "live")
    expect(plate).to_have_text(re.compile(r"^1 face \d"))
    tab.press("Stop")
    stage(tab, "empty")
    assert tab.page.evaluate("() => window.sockets.at(-1).readyState") >= 2
    assert tab.watch.errors == []


def test_a_live_picture_freezes_goes_on_takes_parameters_and_a_snapshot(seeing, kinds):
    """Parameters act at once; a snapshot is the camera's picture at full size, and runs."""
    tab = seeing(kinds, "/#finder", script=SOCKETS)
    start(tab)
    assert tab.page.evaluate("() => window.protocols") == ["vitrine.v1"]
    count = tab.page.get_by_label("count", exact=True)
    count.fill("3")
    count.blur()
    expect(tab.page.locator(".box")).to_have_count(3)
    tab.press("Freeze")
    stage(tab, "frozen")
    expect(tab.page.locator(".box")).to_have_count(3)
    count.fill("2")
    count.blur()
    tab.press("Go on")
    stage(tab, "live")
    expect(tab.page.locator(".box")).to_have_count(2)
    tab.press("Snapshot")
    stage(tab, "still")
    width, height = CAMERA_SIZE
    expect(tab.page.locator(".caption")).to_contain_text(
        re.compile(f"camera.jpg {width} . {height} pixels")
    )
    expect(tab.page.locator("#result li")).to_have_count(2)
    expect(tab.page.locator(".picker").first).to_be_focused()
    tab.model("clip")  # without a stream: the camera takes a photo
    tab.press("Use the camera")
    stage(tab, "preview")
    tab.press("Take the photo")
    expect(tab.page.locator(".compare")).to_be_visible()
    assert tab.watch.errors == []


def test_a_frame_that_fails_shows_its_problem_and_the_stream_goes_on(seeing, kinds):
    """With the fault at its field; and what no stream can be opened with is told, too."""
    tab = seeing(kinds, "/#shade", script=SOCKETS)
    start(tab)
    expect(tab.page.locator("#result dd").first).to_have_text(re.compile("light|dark"))
    tab.page.get_by_label("fail").check()
    expect(tab.page.locator("#problem")).to_contain_text("Model failed")
    tab.page.get_by_label("fail").uncheck()
    expect(tab.page.locator("#problem")).to_be_empty()
    threshold = tab.page.get_by_label("threshold", exact=True)
    threshold.fill("1000")
    threshold.blur()
    expect(threshold).to_have_accessible_description(re.compile("less than or equal to 255"))
    tab.press("Stop")
    tab.press("Use the camera")
    stage(tab, "camera-error")
    expect(tab.page.locator(".caption")).to_contain_text("correct the parameters")


def test_other_inputs_go_before_the_frames_and_a_picture_takes_the_place_of_the_camera(
    seeing, kinds
):
    """Each at once when it changes; one that no message can hold ends the stream by its name."""
    tab = seeing(kinds, "/#measure", script=SOCKETS)
    names = tab.page.locator("#result dd").first
    tab.pick(BLUE, "mask")
    tab.page.get_by_label("options").fill('{"depth": 3}')
    tab.page.evaluate(SLOW_FILES)
    start(tab)
    expect(names).to_have_text("image, mask")
    params, inputs, frame = tab.page.evaluate("() => window.sent.slice(0, 3)")
    assert params == {"type": "params", "params": {"options": {"depth": 3}}}
    assert (inputs["type"], list(inputs["inputs"]), frame) == ("inputs", ["mask"], "frame")
    tab.press("Remove")
    expect(names).to_have_text("image")
    tab.pick(LARGE, "mask")
    stage(tab, "camera-error")
    expect(tab.page.locator(".caption").first).to_contain_text("The input mask is too large")
    tab.press("Remove")
    start(tab)
    assert tab.watch.predictions() == []  # but the next picture takes the place of the camera
    with tab.page.expect_response("**/predictions*") as answer:
        tab.pick(RED)
    assert answer.value.status == 200
    stage(tab, "still")
    expect(tab.page.locator(".caption").first).to_contain_text("red.png")
    assert tab.watch.errors == []


def test_the_camera_is_the_input_in_whose_zone_it_was_started(seeing, kinds):
    """The frames of any but the first picture go by their name, beside the one that is held."""
    tab = seeing(kinds, "/#measure", script=SOCKETS)
    tab.pick(RED)
    tab.page.get_by_role("button", name="Use the camera").last.click()
    expect(tab.page.locator(".stage").last).to_have_attribute("data-state", "live")
    expect(tab.page.locator("#result dd")).to_contain_text(
        ["image, mask", re.compile(r"width\d+height\d+"), re.compile(r"\d+"), re.compile(r"\d+")]
    )
    _, held, frame = tab.page.evaluate("() => window.sent.slice(0, 3)")
    assert (held["type"], list(held["inputs"])) == ("inputs", ["image"])
    assert (frame["type"], list(frame["inputs"])) == ("frame", ["mask"])
    assert tab.watch.errors == []


def test_an_example_and_control_and_enter_leave_the_camera_on(seeing, kinds):
    """Frames have the text as soon as it stands there; Enter in a parameter is no Stop either.

    The widths are any: frames shrink while the machine is too busy to send them.
    """
    tab = seeing(kinds, "/#answerer", script=SOCKETS)
    start(tab)
    label = tab.page.locator("#result .label")
    expect(label).to_have_text(re.compile(rf"^{len('What is it?')} and \d+$"))
    tab.press("Why?")
    expect(label).to_have_text(re.compile(rf"^{len('Why?')} and \d+$"))
    area = tab.page.locator("textarea")
    area.fill("Who is it?")
    area.press("Control+Enter")
    expect(label).to_have_text(re.compile(rf"^{len('Who is it?')} and \d+$"))
    tab.model("finder")
    start(tab)
    count = tab.page.get_by_label("count", exact=True)
    count.fill("2")
    count.press("Enter")
    expect(tab.page.locator(".box")).to_have_count(2)
    stage(tab, "live")
    tab.page.set_viewport_size({"width": 390, "height": 900})  # where the bar has a Stop, too
    tab.page.locator("#run").click()
    stage(tab, "empty")
    assert tab.watch.predictions() == []


def test_a_lost_connection_opens_again_and_a_hidden_tab_rests(seeing, kinds):
    """Also a dead one without a close; a hidden tab closes at once and goes on when it is seen."""
    tab = seeing(kinds, "/#finder", script=SOCKETS)
    start(tab)
    tab.page.evaluate("() => window.sockets.at(-1).onclose({ code: 1006 })")
    tab.page.wait_for_function("() => window.sockets.length > 1")
    stage(tab, "live")
    tab.page.evaluate(SHOW_AS, True)  # noqa: FBT003
    tab.page.wait_for_function("() => window.sockets.at(-1).readyState >= 2")
    sockets = tab.page.evaluate("() => window.sockets.length")
    tab.page.evaluate(SHOW_AS, False)  # noqa: FBT003
    tab.page.wait_for_function("count => window.sockets.length > count", arg=sockets)
    stage(tab, "live")
    tab.page.evaluate("() => window.sockets.at(-1).onclose({ code: 4408 })")
    stage(tab, "frozen")
    tab.press("Go on")
    stage(tab, "live")
    tab.press("Freeze")
    for hidden in (True, False):
        tab.page.evaluate(SHOW_AS, hidden)
    stage(tab, "frozen")
    tab.press("Go on")
    stage(tab, "live")
    for broken in BROKEN_WORKERS:  # the page encodes by itself
        tab.press("Stop")
        tab.page.evaluate(broken)
        start(tab)


@pytest.mark.parametrize(
    ("fault", "permitted", "words"),
    [
        ("NotAllowedError", "prompt", "was not allowed. Press Use the camera and choose Allow"),
        ("NotFoundError", "granted", "This device has no camera"),
        ("NotReadableError", "granted", "Another program has the camera"),
    ],
)
def test_a_camera_that_cannot_be_had_has_its_sentence(seeing, kinds, fault, permitted, words):
    """And Choose a picture stays beside it."""
    tab = seeing(kinds, "/#finder", script=FAKE)
    tab.page.evaluate("([f, p]) => { window.fault = f; window.permitted = p }", [fault, permitted])
    tab.press("Use the camera")
    stage(tab, "camera-error")
    expect(tab.page.locator(".caption")).to_contain_text(words)
    expect(tab.page.get_by_text("Choose a picture", exact=True)).to_be_visible()
    expect(tab.page.locator("#announcement")).to_contain_text(words)


def test_a_blocked_camera_starts_by_itself_once_it_is_allowed(seeing, kinds):
    """A remembered camera that is gone is forgotten; one that ends says so, one too late is off."""
    tab = seeing(kinds, "/#finder", script=f"{FAKE};{SOCKETS}")
    tab.page.evaluate(
        "() => { window.fault = 'NotAllowedError'; window.permitted = 'denied'; "
        "localStorage.setItem('vitrine.camera', 'gone') }"
    )
    tab.press("Use the camera")
    expect(tab.page.locator(".caption")).to_contain_text("Allow it at the sign beside the address")
    tab.page.evaluate(
        "() => { window.fault = null; window.permission.state = 'granted'; "
        "window.permission.onchange() }"
    )
    stage(tab, "live")
    asked = tab.page.evaluate("() => [window.asked, localStorage.getItem('vitrine.camera')]")
    assert asked == [["gone", "gone", ""], None]
    tab.page.evaluate("() => window.tracks[0].dispatchEvent(new Event('ended'))")
    stage(tab, "camera-error")
    expect(tab.page.locator(".caption")).to_contain_text("The camera is gone")
    tab.page.evaluate(PROMPT)
    tab.press("Use the camera")
    stage(tab, "asking")
    for hidden in (True, False):  # connects only once there is a camera
        tab.page.evaluate(SHOW_AS, hidden)
    tab.page.evaluate("() => window.allow()")
    stage(tab, "live")
    sockets = "() => window.sockets.filter(({ readyState }) => readyState < 2).length"
    assert tab.page.evaluate(sockets) == 1
    tab.page.evaluate(PROMPT)
    tab.page.evaluate(
        "() => { for (const _ of [1, 2]) document.querySelector('.controls select')"
        ".dispatchEvent(new Event('change')); window.allow() }"
    )
    live = "([all, live]) => window.tracks.length === all && window.tracks.filter("
    live += "({ readyState }) => readyState === 'live').length === live"
    tab.page.wait_for_function(live, arg=[4, 1])
    stage(tab, "live")
    tab.press("Stop")
    tab.page.evaluate(PROMPT)
    tab.press("Use the camera")
    stage(tab, "asking")
    tab.model("shade")
    tab.page.evaluate("() => window.allow()")
    tab.page.wait_for_function(live, arg=[5, 0])
    stage(tab, "empty")


def test_over_plain_http_a_photo_is_taken_by_the_form(visit, kinds):
    """Browsers give no camera there; phones take a photo for a file input."""
    script = "Object.defineProperty(window, 'isSecureContext', { value: false })"
    tab = visit(kinds, "/#finder", script=script)
    expect(tab.page.get_by_role("button", name="Use the camera")).to_have_count(0)
    capture = tab.page.get_by_label("Take a photo: image")
    expect(capture).to_have_attribute("capture", "environment")


# What the worker says of a bitmap that it cannot encode.
ENCODER = """() => new Promise((done) => {
  const worker = new Worker("/static/encoder.js");
  worker.onmessage = ({ data }) => done(Object.keys(data));
  worker.postMessage({ bitmap: { width: 1, height: 1 }, quality: 0.8 });
})"""

STREAM = """async ([name, ...given]) => {
  const stream = await import("/static/stream.js");
  return stream[name](...given);
}"""


def test_the_arithmetic_of_the_stream(visit, kinds):
    """How many frames may be on the way, when to try again, what a close and a silence mean."""
    tab = visit(kinds, "/health")
    window = [
        tab.page.evaluate(STREAM, ["windowFor", *pair])
        for pair in ((0, 0), (0.04, 0.03), (0.11, 0.03), (0.5, 0.4), (1, 0.01))
    ]
    assert window == [1, 1, 3, 1, 3]
    waits = [tab.page.evaluate(STREAM, ["backoff", k, 1]) for k in (0, 1, 4, 5, 50)]
    assert waits == [500, 1000, 8000, 10_000, 10_000]
    state = {"lived": 1000, "tries": 0, "retryAfter": 7}
    actions = {
        code: tab.page.evaluate(STREAM, ["afterClose", code, state])
        for code in (1000, 1006, 1008, 1009, 1011, 1012, 1013, 4401, 4403, 4408, 4429)
    }
    assert {code: it["action"] for code, it in actions.items()} == {
        **dict.fromkeys((1000, 1008, 4403, 4429), "stop"),
        **dict.fromkeys((1006, 1011, 1012, 1013), "again"),
        1009: "smaller",
        4401: "renew",
        4408: "wait",
    }
    renewed = tab.page.evaluate(STREAM, ["afterClose", 4401, {**state, "isRenewed": True}])
    assert renewed["action"] == "stop"
    assert actions[1013]["delay"] >= 7000
    assert actions[1012]["delay"] <= 1000
    long = tab.page.evaluate(STREAM, ["afterClose", 1006, {"lived": 60_001, "tries": 9}])
    assert long["delay"] == 0
    deadline = load_settings().prediction_deadline_seconds
    assert tab.page.evaluate(STREAM, ["maxSilence", 0]) > deadline * 1000
    assert tab.page.evaluate(STREAM, ["maxSilence", 5]) == 50_000
    assert tab.page.evaluate(ENCODER) == ["error"]

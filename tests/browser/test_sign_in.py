"""The page with accounts: sign in, register, work as before, keys, a new password, sign out."""

import itertools
import json
import re
import time
from email import message_from_bytes
from email.policy import default
from queue import Queue

import httpx2
import pytest
from aiosmtpd.controller import Controller
from playwright.sync_api import expect
from sqlalchemy import update

from drills.server import free_port
from drills.waiting import DEADLINE
from project.db.engine import open_database
from project.db.records import StoredFile
from project.db.tables import RefreshTokenRow
from project.db.users import Users
from project.storage import make_storage
from tests.account_api import KEYS, ME, PASSWORD, TOKENS, bearer
from tests.browser.accessibility import WIDE, check
from tests.browser.conftest import BLUE, RED, run
from tests.conftest import make_settings, picture
from tests.database import Jobs, database_settings
from tests.services.server import serve
from tests.services.stack import standing

ADMIN = "admin"
CPF = "529.982.247-25"
REFRESH = f"**{TOKENS}/refresh"
OTHER_PASSWORD = "another long password"
NUMBERS = itertools.count(1)


class Inbox:
    """A mail server that holds what comes."""

    def __init__(self):
        self.received = Queue()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        self.received.put(message_from_bytes(envelope.content, policy=default).get_content())
        return "250 OK"

    def link(self):
        """The part of the next mail's link that the page reads."""
        return re.search(r"/#reset=\S+", self.received.get(timeout=DEADLINE))[0]


@pytest.fixture(scope="module")
def inbox():
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield inbox, controller.port
    controller.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with standing("embedded", tmp_path_factory.mktemp("accounts")) as stack:
        yield stack


@pytest.fixture(scope="module")
def server(tmp_path_factory, stack, inbox):
    """The models of each kind, for users; its tokens are as short as can be."""
    variables = {
        "AUTH": "keys",
        "TOKEN_KEYS": f"one:{'s' * 32}",
        "ACCESS_TOKEN_SECONDS": 30,
        "ADMIN_EMAIL": "admin@example.org",
        "ADMIN_PASSWORD": PASSWORD,
        "REGISTRATION": "open",
        "USER_DOCUMENT": "br.cpf",
        "DOCUMENT_KEY": "k" * 32,
        "SMTP_URL": f"smtp://127.0.0.1:{inbox[1]}",
        "MAIL_FROM": "vitrine@example.org",
        "PUBLIC_URL": "http://127.0.0.1",
        "MONTHLY_QUOTA": 1000,
        "ADDRESS_RATE": "10000/minute",
    }
    folder = tmp_path_factory.mktemp("server")
    app = "tests.browser.models_app:app"
    with serve(folder, app=app, WEB_CONCURRENCY=1, **stack.variables, **variables) as server:
        yield server


@pytest.fixture
def name(server):
    """A new user, of the test's own; returns the username."""
    name = f"user{next(NUMBERS)}"
    user = {"email": f"{name}@example.org", "username": name, "full_name": "Ann Example"}
    answer = httpx2.post(f"{server.url}/v1/users", json={**user, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return name


@pytest.fixture
def opened(visit, server):
    """Opens the page for a visitor who is not signed in."""

    def open_page(path="/?#finder", **options):  # `?`, as it does not come to its model
        tab = visit(server, path, viewport=WIDE, **options)
        expect(tab.page.locator(".account-card")).to_be_visible()
        return tab

    return open_page


@pytest.fixture
def signed_in(visit, server, name):
    """Opens the page as it is after a reload by the test's user, who has signed in there."""

    def open_page(path="/#finder", **options):
        token = tokens_of(server, name)["refresh_token"]
        script = f"""if (!window.name) {{
          window.name = "opened before";
          sessionStorage.setItem("vitrine.refresh", "{token}");
        }}"""
        return visit(server, path, script=script, viewport=WIDE, **options)

    return open_page


def sign_in(tab, name, password=PASSWORD):
    tab.page.get_by_label("E-mail or username").fill(name)
    tab.page.get_by_label("Password", exact=True).fill(password)
    tab.press("Sign in")


def open_menu(tab):
    tab.page.locator("#account").click()
    menu = tab.page.locator("dialog")
    expect(menu.locator(".keys li")).not_to_have_count(0)
    return menu


def refreshes(tab):
    return [url for url in tab.watch.requests if url.endswith("/refresh")]


def tokens_of(server, name):
    form = {"username": name, "password": PASSWORD}
    return httpx2.post(server.url + TOKENS, data=form).raise_for_status().json()


def void_access_tokens(server, stack, name):
    """Have the server refuse the access tokens that the user has; the refresh tokens work.

    As if those had been made after a sign-out.
    """

    async def void():
        async with open_database(database_settings(stack.database_url)) as engine:
            users, now = Users(engine), time.time()
            user = await users.find(name)
            await users.change(user.id, signed_out_at=now)
            later = update(RefreshTokenRow).where(RefreshTokenRow.user_id == user.id)
            async with engine.begin() as connection:
                await connection.execute(later.values(created_at=now + 1))
            return user.id

    url = f"{server.url}/v1/users/{run(void())}"
    headers = bearer(
        tokens_of(server, ADMIN)["access_token"]
    )  # so that the server's cache forgets the user
    httpx2.patch(url, json={"monthly_quota": 1000}, headers=headers).raise_for_status()


def test_a_visitor_signs_in_and_the_page_works_as_without_accounts(opened, name):
    """A wrong password has one sentence; then nothing runs by itself, and a reload stays in."""
    tab = opened()
    page = tab.page
    expect(page.locator(".bench")).to_be_hidden()
    expect(page.get_by_label("E-mail or username")).to_be_focused()
    assert tab.watch.errors == []  # nothing was asked for that would be refused
    tab.press("Sign in")
    expect(page.get_by_label("E-mail or username")).to_have_attribute("aria-invalid", "true")
    sign_in(tab, name, "a wrong password")
    expect(page.get_by_role("alert").first).to_have_text("The user or the password is wrong.")
    sign_in(tab, name)
    expect(page.locator(".account-card")).to_have_count(0)
    expect(page.locator("#models [aria-current]")).to_be_focused()
    expect(page.locator("#account")).to_contain_text(name)
    tab.pick(RED)
    expect(page.locator(".caption strong")).to_have_text("red.png")
    key = '-H "Authorization: Bearer $VITRINE_KEY"'
    expect(page.locator("#curl")).to_contain_text(f"curl {key} --data-binary @red.png")
    assert tab.watch.predictions() == []
    tab.press("Run")
    expect(page.locator("#result li")).to_have_count(1)
    page.reload()
    expect(page.locator("#facts li").first).to_contain_text("finder")
    expect(page.locator("#account")).to_contain_text(name)
    held = page.evaluate("() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "eyJ" not in held  # the access token is in memory alone
    assert [re.search(r"\d{3}", line)[0] for line in tab.watch.errors] == ["422", "401"]


def test_who_registers_is_told_each_fault_at_its_field(opened):
    """And is signed in at once."""
    tab = opened("/?#verdict")
    page = tab.page
    tab.press("Create an account")
    fill = {"E-mail": "ann", "Username": "Ä", "Full name": "Ann", "Password": "short"}
    for label, text in {**fill, "Document": "1"}.items():
        page.get_by_label(label, exact=True).fill(text)
    tab.press("Create the account")
    for label, fault in {
        "E-mail": "send an e-mail address",
        "Username": "send 3 to 32 letters",
        "Full name": "send first and last name",
        "Password": "send 12 to 200 characters",
    }.items():
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(fault))
    expect(page.get_by_label("E-mail")).to_be_focused()
    fill = {"E-mail": "new@example.org", "Username": "new", "Full name": "New User"}
    for label, text in {**fill, "Password": PASSWORD}.items():
        page.get_by_label(label, exact=True).fill(text)
    tab.press("Create the account")
    document = page.get_by_label("Document")
    expect(document).to_have_accessible_description(re.compile("send the number of one of these"))
    document.fill(CPF)
    tab.press("Create the account")
    expect(page.locator("#account")).to_contain_text("new")
    expect(page.locator("textarea")).to_be_visible()
    tab.press("Win a prize now")  # an example is not sent by itself
    assert tab.watch.predictions() == []
    tab.press("Run")
    expect(page.locator("#result .label").first).to_have_text("spam")


def test_a_job_is_followed_to_its_picture(signed_in, stack):
    """Its events come with the token; its picture by a signed link, as an image can send none."""
    tab = signed_in("/#paint")
    with tab.page.expect_response(lambda it: it.url.endswith("/events")) as events:
        tab.press("Run as a job")
    assert events.value.status == 200
    job = events.value.url.split("/")[-2]
    given = {
        "storage_url": stack.variables["STORAGE_URL"],
        "storage_secret": "the secret of this test",
    }

    async def succeed():
        storage = make_storage(make_settings(**given))
        await storage.put("results/paint", picture(size=(64, 64)), "image/png", "paint.png")
        async with open_database(database_settings(stack.database_url)) as engine:
            transitions = Jobs.of(engine).transitions
            await transitions.claim(job, "test", time.time(), 60)
            file = StoredFile(key="results/paint", media_type="image/png", size=1)
            await transitions.succeed(job, "test", time.time(), file, {"steps": 1.0})

    run(succeed())
    for image in ("#result img", "#gallery img"):
        expect(tab.page.locator(image)).to_have_js_property("naturalWidth", 64)
    tab.page.reload()
    expect(tab.page.locator("#gallery img")).to_have_js_property("naturalWidth", 64)
    assert tab.watch.errors == []


def test_a_live_stream_outlives_its_token(signed_in, server, stack, name):
    """The server closes it with 4401; the page renews the token and connects again."""
    tab = signed_in(permissions=["camera"])
    page, sockets = tab.page, []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    tab.press("Use the camera")
    stage = page.locator(".stage")
    expect(stage).to_have_attribute("data-state", "live")
    with page.expect_response(REFRESH) as refresh:
        void_access_tokens(server, stack, name)
    assert refresh.value.status == 200
    expect(stage).to_have_attribute("data-state", "live")
    page.wait_for_function("() => document.querySelector('.figures').textContent.includes('/s')")
    expect(page.locator("#problem")).to_be_empty()
    expect(page.locator(".account-card")).to_have_count(0)
    assert len(sockets) == 2
    assert not any("bearer" in url for url in sockets)
    tab.press("Stop")


def test_a_token_is_renewed_once_for_all_requests_before_its_end_and_when_refused(
    signed_in, server, stack, name
):
    """The user does not notice; a renewal that fails for a moment signs nobody out."""
    tab = signed_in("/#finder")
    page = tab.page
    tab.pick(RED)
    void_access_tokens(server, stack, name)
    tab.press("Run")
    expect(page.locator("#result li")).to_have_count(1)
    assert len(refreshes(tab)) == 2  # one as the page was opened
    page.clock.install()
    page.reload()
    expect(page.locator("#account")).to_contain_text(name)
    before = len(refreshes(tab))
    page.clock.fast_forward(25_000)
    open_menu(tab)  # two requests at once
    assert len(refreshes(tab)) == before + 1
    tab.press("Close")
    expect(page.locator("#account")).to_be_focused()
    page.clock.fast_forward(25_000)
    page.route(REFRESH, lambda route: route.fulfill(status=503, body="busy"), times=1)
    page.locator("#account").click()
    expect(page.locator("dialog .keys li")).not_to_have_count(0)
    expect(page.locator(".account-card")).to_have_count(0)


def test_a_key_is_shown_once_works_and_is_revoked(signed_in, server):
    """Copied, it lets a program in; without a name it is not made."""
    tab = signed_in(permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    menu = open_menu(tab)
    expect(menu.locator(".keys")).to_have_text("None yet.")
    menu.get_by_text("New key").click()
    tab.press("Create the key")
    expect(menu.get_by_label("Name")).to_have_accessible_description("Field required")
    menu.get_by_label("Name").fill("camera")
    menu.get_by_label("jobs and their results").check()
    menu.get_by_label("Expires").select_option("in a year")
    tab.press("Create the key")
    expect(menu.get_by_text("The current password is wrong.")).to_be_visible()
    menu.get_by_label("Your password").fill(PASSWORD)
    tab.press("Create the key")
    copy = menu.get_by_role("button", name="Copy")
    expect(copy).to_be_focused()
    page.keyboard.press("Enter")
    expect(menu.get_by_role("button", name="Copied")).to_be_visible()
    key = page.evaluate("() => navigator.clipboard.readText()")
    assert key == menu.locator("code").inner_text()
    assert key.startswith("vitrine_")
    item = menu.locator(".keys li")
    expect(item).to_contain_text("jobs, predict · expires")
    expect(menu.get_by_label("predictions and live streams")).to_be_checked()  # as at first
    ask = lambda path: httpx2.get(server.url + path, headers=bearer(key)).status_code  # noqa: E731
    assert (ask(ME), ask(KEYS)) == (200, 403)
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    assert key not in page.content()
    menu = open_menu(tab)
    assert key not in page.content()
    for words in ("Revoke", "Revoke for good"):
        menu.get_by_role("button", name=words, exact=True).click()
    expect(menu.locator(".keys")).to_have_text("None yet.")
    assert ask(ME) == 401


def test_signing_out_everywhere_reaches_the_other_browsers(signed_in, name):
    """The other one says so when it asks; its picture stays, and after a sign-in it goes on."""
    here, there = signed_in(), signed_in()
    there.pick(BLUE)
    menu = open_menu(here)
    menu.get_by_role("button", name="Sign out everywhere").click()
    expect(here.page.locator(".account-card")).to_be_visible()
    expect(here.page.locator("#account")).to_have_count(0)
    assert here.page.evaluate("() => sessionStorage.length") == 0
    there.press("Run")
    card = there.page.locator(".account-card")
    expect(card).to_contain_text("Your picture and settings are kept")
    expect(there.page.locator("#announcement")).to_have_text("Signed out.")
    expect(there.page.locator(".bench")).to_be_hidden()
    sign_in(there, name)
    expect(there.page.locator("#result li")).to_have_count(1)
    expect(there.page.locator("#run")).to_be_focused()
    expect(there.page.locator(".caption strong")).to_have_text("blue.png")


def test_signing_out_here_leaves_the_other_browsers_and_needs_no_answer(signed_in):
    """The tab is cleared before the server answers, and whatever it says."""
    here, there = signed_in(), signed_in()
    open_menu(here).get_by_role("button", name="Sign out", exact=True).click()
    expect(here.page.locator(".account-card")).to_be_visible()
    there.page.reload()
    expect(there.page.locator("#account")).to_be_visible()
    problem = {"title": "Overloaded", "detail": "come back later", "status": 503}
    refusal = {"status": 503, "body": json.dumps(problem)}
    kind = "application/problem+json"
    there.page.route(f"**{TOKENS}", lambda route: route.fulfill(**refusal, content_type=kind))
    menu = open_menu(there)
    menu.get_by_role("button", name="Sign out everywhere").click()
    expect(menu.get_by_role("alert").last).to_have_text("Come back later.")
    assert there.page.evaluate("() => sessionStorage.length") == 0
    menu.get_by_role("button", name="Sign out", exact=True).click()
    expect(there.page.locator(".account-card")).to_be_visible()


def test_a_new_token_that_is_refused_signs_nobody_out(signed_in):
    """An instance may not have the key of it yet; the problem is shown, and the next one works."""
    tab = signed_in("/#finder")
    page = tab.page
    expect(page.locator("#account")).to_be_visible()
    problem = {"title": "Unauthorized", "detail": "the access token is not valid", "status": 401}
    refusal = {"status": 401, "body": json.dumps(problem)}
    kind = "application/problem+json"
    tab.pick(RED)
    page.route("**/predictions*", lambda route: route.fulfill(**refusal, content_type=kind))
    tab.press("Run")
    expect(page.locator("#problem")).to_contain_text("the access token is not valid")
    expect(page.locator(".account-card")).to_have_count(0)
    page.unroute("**/predictions*")
    tab.press("Run")
    expect(page.locator("#result li")).to_have_count(1)
    page.reload()
    expect(page.locator("#account")).to_be_visible()


def test_another_user_finds_nothing_of_the_one_before(signed_in, server, name):
    """Whose picture was still there: the page is loaded anew."""
    tab = signed_in()
    tab.pick(BLUE)
    headers = bearer(tokens_of(server, name)["access_token"])
    httpx2.delete(server.url + TOKENS, headers=headers).raise_for_status()
    tab.press("Run")
    expect(tab.page.locator(".account-card")).to_be_visible()
    sign_in(tab, ADMIN)
    expect(tab.page.locator("#account")).to_contain_text(ADMIN)
    expect(tab.page.locator(".zone.vacant")).to_be_visible()
    assert len(tab.watch.predictions()) == 1


def test_a_password_is_changed_and_a_forgotten_one_is_set_by_a_link(signed_in, inbox, name):
    """Who changes it stays in; the link's token stays in no address."""
    tab = signed_in()
    page = tab.page
    menu = open_menu(tab)
    menu.get_by_text("Change the password").click()
    menu.get_by_label("Current password").fill("a wrong password")
    menu.get_by_label("New password", exact=True).fill(OTHER_PASSWORD)
    tab.press("Change it")
    expect(menu.get_by_text("The current password is wrong.")).to_be_visible()
    menu.get_by_label("Current password").fill(PASSWORD)
    tab.press("Change it")
    expect(menu.get_by_text("Changed. You stay signed in here.")).to_be_visible()
    tab.press("Sign out everywhere")
    tab.press("Forgot the password?")
    page.get_by_label("E-mail").fill(f"{name}@example.org")
    tab.press("Send the link")
    expect(page.locator(".account-card")).to_contain_text("a link to set a new password")
    page.evaluate("link => { location.hash = link.slice(1) }", inbox[0].link())  # in this very tab
    field = page.get_by_label("New password", exact=True)
    expect(field).to_be_focused()
    assert "reset" not in page.url
    field.fill("short")
    tab.press("Set the password")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill(PASSWORD)
    tab.press("Set the password")
    expect(page.locator(".account-card")).to_contain_text("The new password is set")
    sign_in(tab, name)
    expect(page.locator("#account")).to_contain_text(name)


def test_what_is_left_of_the_month_is_shown_and_a_refusal_says_when_it_ends(signed_in, name):
    """By the user's own path, and by the header of each answer after it."""
    tab = signed_in()
    page = tab.page
    month = {"month_used": 2, "month_left": 8, "month_ends_at": "2027-01-01T12:00:00Z"}

    def charged(route):
        answer = route.fetch()
        limits = {"ratelimit": '"month";r=7;t=1209600, "rate";r=59;t=1'}
        route.fulfill(response=answer, headers={**answer.headers, **limits})

    def own(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), **month, "monthly_quota": 10})

    page.route(f"**{ME}", own)
    page.reload()
    expect(page.locator("#account")).to_have_text(f"8 of 10 left · {name}")
    menu = open_menu(tab)
    sentence = "2 of 10 predictions of this month are used; more on January 1."
    expect(menu.locator(".month p")).to_have_text(sentence)
    tab.press("Close")
    page.route("**/predictions*", charged, times=1)
    tab.pick(RED)
    tab.press("Run")
    expect(page.locator("#account")).to_have_text(f"7 of 10 left · {name}")
    problem = {
        "type": "urn:vitrine:problem:quota-exceeded",
        "title": "Quota exceeded",
        "detail": "your 10 predictions of this month are used up",
        "status": 429,
    }
    refusal = {"status": 429, "headers": {"Retry-After": "1209600"}, "body": json.dumps(problem)}
    kind = "application/problem+json"
    page.route("**/predictions*", lambda route: route.fulfill(**refusal, content_type=kind))
    tab.press("Run")
    expect(page.locator("#problem")).to_contain_text("your 10 predictions of this month")
    words = re.compile(r"^All of this month is used; more on [A-Z][a-z]+ \d+\.$")
    expect(page.locator("#bar-note")).to_have_text(words)
    expect(page.locator("#run")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#run")).to_be_focused()


def test_too_many_sign_ins_are_told_when_to_try_again(opened):
    """In a sentence at the form."""
    tab = opened()
    problem = {"title": "Rate limited", "detail": "this address sends too much", "status": 429}
    refusal = {"status": 429, "headers": {"Retry-After": "40"}, "body": json.dumps(problem)}
    kind = "application/problem+json"
    tab.page.route(f"**{TOKENS}", lambda route: route.fulfill(**refusal, content_type=kind))
    sign_in(tab, "ann")
    alert = tab.page.get_by_role("alert").first
    expect(alert).to_have_text("This address sends too much. Again in 40 s.")


def test_the_states_of_accounts_have_no_fault_in_light_dark_and_narrow(signed_in, opened):
    """The card with a problem and with faults, the user in the header, the menu with a key."""
    tab = opened(reduced_motion="reduce")
    sign_in(tab, "nobody")
    expect(tab.page.get_by_role("alert").first).not_to_be_empty()
    check(tab, "a wrong password")
    tab.press("Create an account")
    tab.press("Create the account")
    expect(tab.page.locator(".fault:not(:empty)")).not_to_have_count(0)
    check(tab, "faults at fields")
    tab = signed_in(reduced_motion="reduce")
    check(tab, "signed in")
    menu = open_menu(tab)
    for fold in menu.locator("summary").all():
        fold.click()
    menu.get_by_label("Name").fill("camera")
    menu.get_by_label("Your password").fill(PASSWORD)
    tab.press("Create the key")
    expect(menu.locator("code")).to_be_visible()
    expect(menu.locator(".keys li")).to_contain_text("camera")
    check(tab, "a key that is shown once")

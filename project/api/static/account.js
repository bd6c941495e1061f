// The menu of the signed-in user: what is left of the month, API keys, the password, signing out.

import { call, getJson, Problem } from "./client.js";
import { button, byId, copy, element } from "./dom.js";
import { form, sentence } from "./forms.js";
import { loadUser, signIn, signOut } from "./session.js";

const KEYS = "/v1/users/me/keys";
const SCOPES = {
  predict: "predictions and live streams",
  jobs: "jobs and their results",
  feedback: "feedback",
  admin: "administration",
};
const EXPIRIES = { 30: "in 30 days", 90: "in 90 days", 365: "in a year", "": "never" };

let style = null; // a promise, once it is asked for
let menu = null; // the dialog, while it is open
let user = null;

/** Load the style of what accounts show. */
export const styled = () =>
  (style ??= new Promise((done) => {
    const properties = { rel: "stylesheet", href: "/static/account.css", onload: done, onerror: done };
    document.head.append(element("link", properties));
  }));

/** Show the user in the header, and in the menu. given: what GET /v1/users/me says. */
export function showUser(given) {
  user = given;
  styled();
  const { username, month_left: left, monthly_quota: quota } = user;
  const opener = byId("account") ?? button("", open, "account");
  opener.id = "account";
  opener.ariaHasPopup = "dialog";
  opener.textContent = left === undefined ? username : `${left} of ${quota} left · ${username}`;
  if (!opener.isConnected) byId("state").before(opener);
  menu?.querySelector(".month").replaceChildren(...month());
}

function month() {
  const { month_left: left, month_ends_at: end, monthly_quota: quota } = user;
  if (left === undefined) return [];
  const used = quota - left;
  const date = new Date(end).toLocaleDateString("en", { day: "numeric", month: "long" });
  const bar = element("progress", { max: quota || 1, value: used, ariaLabel: "Used of this month" });
  return [element("p", {}, `${used} of ${quota} predictions of this month are used; more on ${date}.`), bar];
}

function open() {
  const { username, full_name: name, email } = user;
  const close = button("Close", () => menu.close());
  const keys = element("ul", { className: "keys", ariaLabel: "API keys" });
  const alert = element("p", { className: "hint fault" });
  alert.role = "alert";
  menu = element("dialog", { className: "account-menu" });
  menu.setAttribute("aria-labelledby", "menu-title");
  menu.append(
    element("div", { className: "head" }, element("h2", { id: "menu-title" }, username), close),
    element("p", { className: "hint" }, `${name}, ${email}`),
    element("div", { className: "month" }, ...month()),
    element("h3", {}, "API keys"),
    keys,
    fold("New key", keyForm(keys)),
    fold("Change the password", passwordForm()),
    alert,
    element(
      "div",
      { className: "row-of-buttons" },
      button("Sign out", guarded(() => signOut(false))),
      button("Sign out everywhere", guarded(() => signOut(true))),
    ),
  );
  menu.addEventListener("close", () => {
    menu.remove(); // with the key that was shown once
    menu = null;
  });
  byId("account").after(menu);
  menu.showModal();
  guarded(() => Promise.all([loadUser(), listKeys(keys)]))();
}

const fold = (words, ...parts) => element("details", {}, element("summary", {}, words), ...parts);

/** That action, with its problem as a sentence in the menu. */
function guarded(action) {
  return async () => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const alert = menu?.querySelector(":scope > [role=alert]");
      if (alert) alert.textContent = sentence(error);
    }
  };
}

async function listKeys(list) {
  const { keys } = await getJson(KEYS);
  const hadFocus = list.contains(document.activeElement);
  list.replaceChildren(...keys.map((key) => keyItem(key, list)));
  if (!keys.length) list.append(element("li", { className: "hint" }, "None yet."));
  if (hadFocus) menu?.querySelector("summary").focus(); // what had it is gone
}

function keyItem({ id, name, scopes, expires_at: end, last_used_at: used }, list) {
  const day = (time) => new Date(time).toLocaleDateString("en", { dateStyle: "medium" });
  const facts = [
    scopes.join(", ") || "no scope",
    end ? `expires ${day(end)}` : "does not expire",
    used ? `last used ${day(used)}` : "never used",
  ];
  const revoke = button("Revoke", () => {
    if (revoke.textContent === "Revoke") revoke.textContent = "Revoke for good";
    else guarded(() => call("DELETE", `${KEYS}/${id}`).then(() => listKeys(list)))();
  });
  revoke.setAttribute("aria-describedby", `key-${id}`);
  const words = element("small", {}, facts.join(" · "));
  return element("li", {}, element("strong", { id: `key-${id}` }, name), words, revoke);
}

function keyForm(list) {
  const shown = element("div", {});
  shown.role = "status";
  const names = Object.keys(SCOPES).filter((name) => name !== "admin" || user.role === "admin");
  const boxes = names.map((value) => {
    const box = element("input", { type: "checkbox", name: "scopes", value });
    box.defaultChecked = value === "predict";
    return element("label", { className: "option" }, box, SCOPES[value]);
  });
  const options = Object.entries(EXPIRIES).map(([value, words]) =>
    element("option", { value, defaultSelected: value === "90" }, words),
  );
  const expiry = element("select", { name: "days" }, ...options);
  const fields = [
    { name: "name", label: "Name", hint: "What it is for.", autocomplete: "off" },
    labelled("May do", element("div", { className: "options" }, ...boxes)),
    labelled("Expires", expiry),
    { name: "password", label: "Your password", type: "password", autocomplete: "current-password" },
  ];
  const made = form(fields, "Create the key", async ({ name, days, password }, root) => {
    const scopes = new FormData(root).getAll("scopes");
    const body = { name, scopes, password, expires_in_days: days ? Number(days) : null };
    const { key } = await call("POST", KEYS, body);
    root.reset();
    const text = element("code", {}, key);
    const pre = element("pre", { tabIndex: 0, ariaLabel: "The new key" }, text);
    pre.role = "region";
    const words = "Copy it now: it is not shown again.";
    const press = button("Copy", () => copy(press, key, text));
    shown.replaceChildren(element("p", { className: "hint" }, words), element("div", { className: "shell" }, pre, press));
    press.focus();
    await listKeys(list);
  });
  return element("div", {}, made, shown);
}

function labelled(words, control) {
  const id = `label-${words.toLowerCase().replace(" ", "-")}`;
  control.setAttribute("aria-labelledby", id);
  if (control.tagName === "DIV") control.role = "group";
  return element("div", { className: "field" }, element("span", { className: "name", id }, words), control);
}

function passwordForm() {
  const said = element("p", { className: "hint" });
  said.role = "status";
  const fields = [
    { name: "current", label: "Current password", type: "password", autocomplete: "current-password" },
    { name: "new", label: "New password", type: "password", autocomplete: "new-password", hint: "12 characters or more. It signs you out everywhere else." },
  ];
  const made = form(fields, "Change it", async (values, root) => {
    said.textContent = "";
    await call("POST", "/v1/users/me/password", values);
    await signIn(user.username, values.new);
    root.reset();
    said.textContent = "Changed. You stay signed in here.";
  });
  return element("div", {}, made, said);
}

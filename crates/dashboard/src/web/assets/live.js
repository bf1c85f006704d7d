// Keeps the page true: the server sends the parts that changed, as they are now. Without this script every page still
// shows the moment it was opened.
"use strict";

const live = document.getElementById("live");
const parts = document.getElementById("parts");
const pause = document.getElementById("pause");
let heard = Date.now();
let tried = 0;
let source = null;
// How the page stands, in the words of the server.
let { stand } = parts.dataset;
// Each part as the server sent it last: what is the same stays, and with it what is selected in it or about to be clicked.
const known = new Map();
// Parts that came while a form in them was being filled in.
const missed = new Map();

function say(state, text) {
  if (live.dataset.state === state && live.textContent === text) return;
  live.dataset.state = state;
  live.textContent = text;
}

// Times in the reader's own clock, with how long ago; the exact UTC stays in the title.
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });
const steps = [["s", 60], ["min", 60], ["h", 24], ["d", Infinity]];

function clock(time) {
  const today = new Date(time).toDateString() === new Date().toDateString();
  return (today ? hour : day).format(time);
}

function ago(time) {
  let left = Math.round((Date.now() - time) / 1000);
  const later = left < 0;
  left = Math.abs(left);
  for (const [unit, size] of steps) {
    if (left < size) return later ? `in ${left} ${unit}` : `${left} ${unit} ago`;
    left = Math.round(left / size);
  }
}

function tellTimes(root) {
  for (const element of root.querySelectorAll("time")) {
    element.title ||= element.textContent;
    const time = new Date(element.dateTime);
    element.textContent = `${clock(time)} (${ago(time)})`;
  }
}

// What the reader is at must not be lost: the focus goes to the same element of the new part, and a form that is being
// filled in stays as it is.
function put(change) {
  const focus = document.activeElement;
  const where = focus && parts.contains(focus) && (focus.id ? `#${CSS.escape(focus.id)}` : focus.getAttribute("href"));
  change();
  if (!where || document.activeElement === focus) return;
  const again = where.startsWith("#")
    ? parts.querySelector(where)
    : [...parts.querySelectorAll("a")].find((link) => link.getAttribute("href") === where);
  again?.focus({ preventScroll: true });
}

// Live is what the dashboard itself knows to be true now: it may answer, and not have heard of the broker for long.
function sayHow() {
  const old = parts.querySelector("#standing [data-as-of]");
  if (!old) say("live", "live");
  else if (!old.dataset.asOf) say("stale", "stale");
  else say("stale", `stale, as of ${clock(new Date(old.dataset.asOf))}`);
}

// The name of the page says what matters to whoever has it open behind others.
function nameIt() {
  document.title = document.getElementById("standing").dataset.name;
}

function know(root) {
  for (const part of root.children) known.set(part.id, part.outerHTML);
}

function replace(text) {
  const template = document.createElement("template");
  template.innerHTML = text;
  const part = template.content.firstElementChild;
  const old = document.getElementById(part.id);
  if (!old || known.get(part.id) === part.outerHTML) return;
  missed.delete(part.id);
  if (old.contains(document.activeElement) && document.activeElement.form) {
    missed.set(part.id, text);
    return;
  }
  know(template.content);
  tellTimes(part);
  put(() => old.replaceWith(part));
  nameIt();
}

function replaceAll(text) {
  const editing = parts.contains(document.activeElement) && document.activeElement.form;
  const template = document.createElement("template");
  template.innerHTML = text;
  const ids = (root) => [...root.children].map((part) => part.id).join(" ");
  if (editing || ids(template.content) === ids(parts)) {
    for (const part of [...template.content.children]) replace(part.outerHTML);
    return;
  }
  known.clear();
  know(template.content);
  tellTimes(template.content);
  put(() => parts.replaceChildren(template.content));
  nameIt();
}

function listen() {
  tried = Date.now();
  const updates = new URL(location);
  // Only what is not as it is here is sent, unless that takes longer to say than servers let an address be.
  if (stand.length < 4000) updates.searchParams.set("stand", stand);
  source = new EventSource(updates);
  const now = (event) => {
    heard = Date.now();
    stand = event.lastEventId || stand;
    sayHow();
  };
  source.onopen = now;
  source.addEventListener("here", now);
  source.addEventListener("section", (event) => { replace(event.data); now(event); });
  source.addEventListener("all", (event) => { replaceAll(event.data); now(event); });
  // The server ends the stream when it ends itself; a page that is gone is no longer sent. Either way it is tried again.
  source.onerror = () => {
    say("stale", `stale: the dashboard does not answer, as of ${clock(heard)}`);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => live.dataset.state === "stale" && listen(), 3000);
  };
}

// The server says something every ten seconds. When it does not, it is stuck, or the connection was lost without a word.
setInterval(() => {
  const silent = Date.now() - Math.max(heard, tried) > 30000;
  if (!silent || live.dataset.state === "paused" || source.readyState === EventSource.CLOSED) return;
  source.close();
  say("stale", `stale: the dashboard does not answer, as of ${clock(heard)}`);
  listen();
}, 5000);

pause.addEventListener("click", () => {
  const paused = live.dataset.state !== "paused";
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    source.close();
    say("paused", `paused, as of ${clock(heard)}`);
  } else {
    listen();
  }
});

document.addEventListener("focusout", () => setTimeout(() => {
  for (const text of [...missed.values()]) replace(text);
}));

pause.hidden = false;
know(parts);
tellTimes(document);
setInterval(() => tellTimes(document), 15000);
listen();

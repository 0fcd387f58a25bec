// The visitor's side of a conversation: the record comes as numbered events, answers being written come as deltas.
import { Socket } from "../../shared/socket.js";
import { Composer } from "./composer.js";
import { say } from "./words.js";
import { View } from "./view.js";

const config = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("config")).textContent || "{}");
const view = new View(config, { person: askForPerson, bot: backToBot, details: leaveDetails, again: sendAgain, passage });

/** Messages the server has not confirmed yet, by client id. @type {Map<string, string>} */
const outbox = new Map();
let after = 0;
let known = Boolean(config.known);
/** For browsers that keep no cookie in a frame. */
let token = "";
/** @type {Promise<boolean> | null} */
let starting = null;

const composer = new Composer(config, {
  /** @param {string} text */
  send(text) {
    const id = crypto.randomUUID ? crypto.randomUUID() : String(Date.now()) + Math.random().toString(36).slice(2);
    outbox.set(id, text);
    view.own(id, text);
    deliver(id);
  },
  stop: () => socket.send({ type: "stop" }),
});

const socket = new Socket(config.socket, {
  hello: () => ({ type: "hello", after, language: config.language, token: token || undefined, live: view.live() }),
  frame,
  state(state) {
    view.connection(state === "lost" ? "lost" : state === "open" ? "open" : "");
  },
});

if (known) socket.open();
view.greet();
addEventListener("message", (event) => {
  if (event.source !== parent || event.data?.baton !== 1) return;
  if (event.data.type === "opened") composer.focus();
});
document.getElementById("close")?.addEventListener("click", () => tell("close"));
document.getElementById("person")?.addEventListener("click", askForPerson);
addEventListener("keydown", (event) => event.key === "Escape" && tell("close"));
tell("ready");

/** @param {any} message */
function frame(message) {
  switch (message.type) {
    case "welcome":
      view.holder(message.status);
      for (const id of outbox.keys()) put(id);
      break;
    case "event":
      after = message.seq;
      event(message);
      break;
    case "turn":
      view.writing(message.turn);
      composer.busy(true);
      break;
    case "delta":
      view.delta(message);
      break;
    case "queue":
      view.queue(message);
      break;
    case "known":
      outbox.delete(message.id);
      view.sent(message.id);
      break;
    case "error":
      if (message.id && outbox.has(message.id)) {
        view.notSent(message.id, message.text);
        if (message.code === "too_long") composer.giveBack(outbox.get(message.id) ?? "");
      } else if (message.code === "session") {
        known = false;
        after = 0;
        view.notice(message.text, "bad");
      } else view.notice(message.text, "bad");
  }
}

/** @param {any} happened */
function event(happened) {
  const { kind, data, message } = happened;
  if (kind === "message.added") {
    if (message.author === "visitor" && message.client_id) outbox.delete(message.client_id);
    view.message(message);
    if (message.author !== "visitor") tell("message");
    if (message.author === "bot") composer.busy(false);
  } else if (kind === "person.requested") {
    view.holder("queued");
    view.notice(say(config, "queued"));
    composer.busy(false);
  } else if (kind === "agent.joined") {
    view.holder("agent", data.agent);
    view.notice(say(config, "joined", { name: data.agent }), "agent");
    composer.busy(false);
  } else if (kind === "bot.resumed" || kind === "conversation.reopened") {
    view.holder("bot");
    if (kind === "bot.resumed") view.notice(say(config, "resumed"), "bot");
  } else if (kind === "conversation.resolved") {
    view.holder("resolved");
    view.notice(say(config, "resolved"));
    composer.busy(false);
  } else if (kind === "turn.ended") {
    view.ended(data.turn, data.error ? say(config, "turn_failed") : "");
    composer.busy(false);
  } else if (kind === "contact.details_left") view.notice(say(config, "left"));
}

/** @param {string} id */
async function deliver(id) {
  if (await start()) put(id);
  else view.notSent(id, say(config, "offline"));
}

/** @param {string} id */
function put(id) {
  const text = outbox.get(id);
  if (text !== undefined) socket.send({ type: "say", id, text });
}

/** Make the session with the visitor's first message; not before. */
function start() {
  if (known) {
    socket.open();
    return Promise.resolve(true);
  }
  starting ??= begin().finally(() => (starting = null));
  return starting;
}

async function begin() {
  try {
    const first = await post({ language: config.language });
    if (!first.ok) return false;
    const check = await fetch(`${config.session}check/`, { credentials: "same-origin" });
    if (!check.ok) {
      const again = await post({ language: config.language, memory: true });
      if (!again.ok) return false;
      token = (await again.json()).token;
      view.notice(say(config, "memory_only"));
    }
  } catch {
    return false;
  }
  known = true;
  socket.open();
  return true;
}

/** @param {object} body */
function post(body) {
  return fetch(config.session, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Baton": "widget" },
    body: JSON.stringify(body),
  });
}

async function askForPerson() {
  if (await start()) whenOpen({ type: "person" });
}

function backToBot() {
  socket.send({ type: "bot" });
}

/** @param {string} email @param {string} phone */
function leaveDetails(email, phone) {
  socket.send({ type: "details", email, phone });
}

/** @param {string} id */
function sendAgain(id) {
  view.sending(id);
  deliver(id);
}

/** @param {object} message */
function whenOpen(message, tries = 50) {
  if (!socket.send(message) && tries) setTimeout(() => whenOpen(message, tries - 1), 100);
}

/** @param {string} id */
async function passage(id) {
  const answer = await fetch(config.passages + encodeURIComponent(id) + "/", {
    credentials: "same-origin",
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });
  return answer.json();
}

/** @param {string} type */
function tell(type) {
  if (parent !== window) parent.postMessage({ baton: 1, type }, "*");
}

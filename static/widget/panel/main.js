// The visitor's side of a conversation: the record comes as numbered events, answers being written come as deltas.
import { Socket } from "../../shared/socket.js";
import { Composer } from "./composer.js";
import { Session } from "./session.js";
import { View } from "./view.js";
import { relabel, say } from "./words.js";

const PART = 30; // events
/** Who has the line after it. @type {Record<string, string>} */
const HOLDERS = {
  "person.requested": "queued",
  "agent.joined": "agent",
  "bot.resumed": "bot",
  "conversation.reopened": "bot",
  "conversation.resolved": "resolved",
};
/** @type {Record<string, string[]>} */
const NOTICES = {
  "person.requested": ["queued"],
  "agent.joined": ["joined", "agent"],
  "bot.resumed": ["resumed", "bot"],
  "conversation.resolved": ["resolved"],
  "contact.details_left": ["left"],
};

const config = worded(JSON.parse(/** @type {HTMLElement} */ (document.getElementById("config")).textContent || "{}"));
const session = new Session(config);

/** What the server has not confirmed yet, by client id, to be sent again. @type {Map<string, any>} */
const outbox = new Map();
/** What the page says about the visit. @type {Record<string, string | number> | null} */
let context = null;
let after = 0;
/** What happened before this page, until all of it has been told. @type {any[] | null} */
let past = null;
let toldAboutFiles = false;
let rated = false;

const view = new View(config, {
  person: askForPerson,
  resend(id) {
    view.sending(id);
    deliver(id);
  },
  passage: (id) => session.fetch(`passages/${encodeURIComponent(id)}/`).then((answer) => answer.json()),
  ask: speak,
  edit: (message, text) => composer.edit(message, text),
  again: (turn) => whenOpen({ type: "again", turn }),
  judge: (message, value, reason) => whenOpen({ type: "feedback", message, value, reason }),
});
// what few visitors need is loaded when one does
const form = once(async () => {
  const { Form } = await import("./form.js");
  return new Form(config, sendForm);
});
const queue = once(async () => {
  const { Queue } = await import("./queue.js");
  return new Queue(config, {
    bot: () => socket.send({ type: "bot" }),
    details: (email, phone) => socket.send({ type: "details", email, phone }),
  });
});
const files = once(async () => {
  const { Files } = await import("./files.js");
  return new Files(config, session, { item: (body) => view.ownFile(body), told: (text) => view.problem(text), began: connect, refused });
});
const composer = new Composer(config, {
  send: speak,
  edit(message, text) {
    const id = newId();
    outbox.set(id, { type: "edit", id, message, text });
    view.editing(id, message);
    deliver(id);
  },
  stop: () => socket.send({ type: "stop" }),
  typing: () => session.known && socket.send({ type: "typing" }),
});
const socket = new Socket(config.socket, {
  hello: () => ({ type: "hello", after, language: config.language, token: session.token || undefined, live: view.live() }),
  frame,
  state(state, code) {
    if (state === "closed" && code === 4003) {
      view.connection("refused");
      composer.lock();
    } else if (state !== "connecting") view.connection(state === "closed" ? "" : state);
    if (state === "lost") recall();
  },
});
// another tab of this browser has begun to talk: this one follows
const others = "BroadcastChannel" in window ? new BroadcastChannel(`baton:${config.inbox}`) : null;
others?.addEventListener("message", async () => {
  if (session.known || !(await session.fetch("session/check/")).ok) return;
  session.known = true;
  closeForm();
  connect();
});

if (/^#[\da-f]{6}$/i.test(config.accent)) document.documentElement.style.setProperty("--accent", config.accent);
view.greet();
if (session.known) connect();
else openForm();
if (config.speech) import("./speech.js").then(({ dictate }) => dictate(config, composer, view));
if (config.files) import("./catch.js").then(({ catchFiles }) => catchFiles(config, async (chosen) => !asking() && (await files()).add(chosen)));
addEventListener("message", (event) => {
  if (event.source !== parent || event.source === window || event.data?.baton !== 1) return;
  const { type, value } = event.data;
  if (type === "opened") {
    if (asking()) form().then((each) => each.focus());
    else composer.focus();
  } else if (type === "say") speak(String(value));
  else if (type === "locale") setLocale(String(value));
  else if (type === "theme") wear(value);
  else if (type === "context") note(value);
  else if (type === "identify") vouched(String(value));
  else if (type === "shutdown") end();
});
document.getElementById("close")?.addEventListener("click", () => tell("close"));
document.getElementById("person")?.addEventListener("click", askForPerson);
addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && tell("close"));
tell("ready");

/** @param {any} message */
function frame(message) {
  if (message.type !== "event") recall();
  switch (message.type) {
    case "welcome":
      session.conversation = message.conversation;
      if (!after) {
        past = [];
        view.replaying = true;
      }
      view.holder(message.status);
      tell("talked");
      if (context) socket.send({ type: "context", data: context });
      for (const id of outbox.keys()) put(id);
      break;
    case "pong":
      view.replayed();
      askForRating();
      break;
    case "event":
      if (message.seq <= after) break; // told already
      after = message.seq;
      if (past) past.push(message);
      else event(message);
      break;
    case "turn":
      view.writing(message.turn);
      composer.busy(true);
      break;
    case "delta":
      view.delta(message);
      break;
    case "queue":
      waiting(message);
      break;
    case "known":
      outbox.delete(message.id);
      view.sent(message.id);
      break;
    case "error":
      wrong(message);
  }
}

/** @param {{code: string, text: string, id?: string}} message */
function wrong(message) {
  const waiting = message.id ? outbox.get(message.id) : null;
  if (waiting?.type === "edit") {
    outbox.delete(waiting.id);
    view.sent(waiting.id);
    view.problem(message.text);
    composer.giveBack(waiting.text);
  } else if (waiting) {
    view.notSent(waiting.id, message.text);
    if (message.code === "too_long") composer.giveBack(waiting.text);
  } else {
    if (message.code === "session") {
      session.known = false;
      after = 0;
    }
    view.problem(message.text);
  }
}

/** Of a long conversation the newest part; what came before is drawn when the reader goes up. */
function recall() {
  const all = past ?? [];
  past = null;
  const from = newest(all);
  all.forEach((each, at) => event(each, at >= from));
  if (from) offerEarlier(all.slice(0, from));
}

/** @param {any[]} rest @param {Element | null} [greeting] of the conversation it belongs to */
function offerEarlier(rest, greeting = view.log.firstElementChild) {
  import("./earlier.js").then(
    ({ earlier }) => greeting?.isConnected && earlier(config, view, rest, newest, attempt, files),
    () => setTimeout(offerEarlier, 5_000, rest, greeting),
  );
}

/** Where the newest part begins: what answers or corrects something stays with it. @param {any[]} all */
function newest(all) {
  const places = new Map(all.map((each, at) => [each.message?.id, at]));
  let from = Math.max(0, all.length - PART);
  for (let at = all.length - 1; at >= from; at--) {
    const { revises, of } = all[at].message ?? {};
    from = Math.min(from, places.get(revises || of || "") ?? from);
  }
  return from;
}

/** @param {any} happened @param {boolean} [drawn] */
function event(happened, drawn = true) {
  const { kind, data, message, seq } = happened;
  if (message?.author === "visitor") outbox.delete(message.client_id);
  if (kind === "message.added" && message.author !== "visitor") tell("message", { seq, author: message.author });
  if (kind === "conversation.rated") rated = true;
  if (kind === "contact.details_left") queue().then((card) => card.reachable());
  if (kind === "answer.judged") view.judged(data.message, data.value);
  const holder = HOLDERS[kind];
  if (holder) view.holder(holder, data.agent);
  if (drawn) attempt(happened);
  if (holder) {
    composer.endEdit();
    if (holder !== "queued") place("queue").hidden = true;
  }
  if (holder || kind === "turn.ended" || message?.author === "bot") composer.busy(false);
  if ((holder || rated) && !view.replaying) askForRating();
}

/** What cannot be drawn must not keep the rest from being seen. @param {any} happened */
function attempt(happened) {
  try {
    draw(happened);
  } catch (problem) {
    reportError(problem);
  }
}

/** What is seen of it. @param {any} happened */
function draw(happened) {
  const { kind, data, message } = happened;
  if (kind === "message.added") view.message(message);
  else if (kind === "message.edited") view.edited(message);
  else if (kind === "file.added") sent(happened);
  else if (kind === "turn.ended") view.ended(data);
  else if (NOTICES[kind]) view.notice(NOTICES[kind][0], { name: data.agent }, NOTICES[kind][1]);
}

/** Where the visitor stands, while they wait for a person. @param {any} message */
async function waiting(message) {
  const card = await queue();
  card.draw(message);
  place("queue").hidden = view.status !== "queued";
  view.announce(card.words(message));
}

/** At the end, once. */
async function askForRating() {
  const card = place("rating");
  const now = view.status === "resolved" && config.rates && !rated;
  if (now && !card.hidden) return;
  if (!now) {
    card.hidden = true;
    return;
  }
  const { ask } = await import("./rating.js");
  ask(config, card, (score, comment) => {
    rated = true;
    card.hidden = true;
    composer.focus();
    whenOpen({ type: "rating", score, comment });
  });
  card.hidden = view.status !== "resolved";
}

/** A file is in the record. @param {any} happened */
function sent({ file, at }) {
  const item = view.file(at);
  files().then((all) => {
    const sentHere = all.arrived(file.client_id); // it may be told as what came before this page's first connection
    item.append(all.bubble(file));
    if (!sentHere || view.status !== "bot" || toldAboutFiles) return;
    toldAboutFiles = true;
    view.notice("file_bot");
  });
}

/** @param {string} text */
function speak(text) {
  if (asking()) {
    composer.giveBack(text); // it waits behind the form
    return;
  }
  const id = newId();
  outbox.set(id, { type: "say", id, text });
  view.own(id, text);
  deliver(id);
}

/** @param {string} id */
async function deliver(id) {
  const started = await start();
  if (started.ok) put(id);
  else {
    view.notSent(id, started.text ?? say(config, "offline"));
    if (started.wrong) refused(started);
  }
}

/** @param {string} id */
function put(id) {
  if (outbox.has(id)) socket.send(outbox.get(id));
}

async function start() {
  const began = !session.known;
  const started = await session.start();
  if (!started.ok) return started;
  if (began && session.known) {
    if (session.memoryOnly) view.notice("memory_only");
    others?.postMessage("began");
  }
  connect();
  return started;
}

function connect() {
  if (socket.over) socket.restart();
  else socket.open();
}

/** The inbox asks for more than was answered: perhaps its form is new. @param {any} answer */
function refused(answer) {
  if (answer.wrong) openForm();
}

// --- the form before the chat ---
function asking() {
  return !place("form").hidden;
}

async function openForm() {
  if (config.form.length) (await form()).open();
}

async function closeForm() {
  if (asking()) (await form()).close();
}

/** @param {Record<string, string>} answers */
async function sendForm(answers) {
  session.answers = answers;
  const started = await start();
  if (started.ok) {
    await closeForm();
    composer.focus();
    return null;
  }
  if (!started.wrong) view.problem(started.text ?? say(config, "offline"));
  return started.wrong ?? null;
}

async function askForPerson() {
  const started = await start();
  if (started.ok) whenOpen({ type: "person" });
  else if (started.wrong) openForm();
  else view.problem(started.text ?? say(config, "offline"));
}

/** @param {object} message */
function whenOpen(message, tries = 50) {
  if (!socket.send(message) && tries) setTimeout(() => whenOpen(message, tries - 1), 100);
}

// --- what the site's page wishes ---
/** @param {string} wish */
async function setLocale(wish) {
  const answer = await session.fetch(`texts/?language=${encodeURIComponent(wish)}`).catch(() => null);
  if (!answer?.ok) return;
  Object.assign(config, worded(await answer.json()));
  relabel(config);
  if (asking()) (await form()).redraw();
  if (!place("queue").hidden) (await queue()).relabel();
  view.suggest();
  if (session.known) socket.restart(); // the server's sentences, too
}

/** @param {any} theme */
async function wear(theme) {
  if (!Object.values(theme).some(Boolean)) return;
  const accent = (await import("./theme.js")).dress(theme);
  if (accent) tell("accent", accent);
}

/** @param {any} data */
function note(data) {
  context = data;
  if (session.known) socket.send({ type: "context", data });
}

/** @param {string} token */
async function vouched(token) {
  const before = Promise.all([session.naming, session.starting]);
  session.naming = before
    .then(() => import("./identify.js"))
    .then(({ identify }) => identify(session, token))
    .catch(() => ({ code: "offline", text: say(config, "offline") }));
  const found = await session.naming;
  if (typeof found === "object") {
    tell("error", { code: found.code, text: found.text });
    return;
  }
  await closeForm();
  tell("identified");
  if (found === "same") return;
  after = 0;
  past = null; // somebody else's
  view.clear();
  for (const { type, id, text } of outbox.values()) {
    if (type === "say") view.own(id, text); // written meanwhile
    else outbox.delete(id);
  }
  if (session.known) socket.restart();
  else socket.close();
}

async function end() {
  socket.close();
  await session.end();
  tell("ended");
}

/** @param {string} type @param {any} [value] */
function tell(type, value) {
  // no secret and no visitor's words in it
  if (parent !== window) parent.postMessage({ baton: 1, type, value }, document.referrer ? new URL(document.referrer).origin : "*");
}

/** The owner's own words among the texts. @param {any} given */
function worded(given) {
  given.texts._greeting = given.greeting;
  given.texts._disclaimer = given.disclaimer;
  return given;
}

/** @param {string} id @returns {HTMLElement} */
function place(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** @template T @param {() => Promise<T>} make @returns {() => Promise<T>} */
function once(make) {
  /** @type {Promise<T> | undefined} */
  let made;
  return () => (made ??= make());
}

function newId() {
  return crypto.randomUUID ? crypto.randomUUID() : String(Date.now()) + Math.random().toString(36).slice(2);
}

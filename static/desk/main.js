// The desk: one socket tells what changed; lists and the line come as HTML, the open thread's events come rendered.
import { make, outward, place } from "../shared/safe.js";
import { Socket } from "../shared/socket.js";
import { Stream } from "../shared/stream.js";
import { localise } from "../shared/times.js";

const LINE_CHANGES = new Set([
  "person.requested",
  "agent.joined",
  "bot.resumed",
  "conversation.resolved",
  "conversation.reopened",
  "contact.details_left",
]);
const REFRESH_MS = 300;
const TYPING_MS = 2500;

const list = /** @type {HTMLElement} */ (document.getElementById("list"));
const thread = document.getElementById("thread");
const log = /** @type {HTMLElement} */ (document.getElementById("log"));
const scroll = /** @type {HTMLElement} */ (document.getElementById("scroll"));
let after = Number(thread?.dataset.after ?? 0);
/** @type {Stream | null} */
let stream = null;
/** @type {HTMLElement | null} */
let item = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let soon;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let typed;

const socket = new Socket(list.dataset.socket ?? "", {
  hello: () => ({ type: "hello", language: document.documentElement.lang }),
  frame,
  state(state) {
    list.classList.toggle("stale", state === "lost" || state === "closed");
    list.title = state === "lost" ? (list.dataset.lost ?? "") : "";
  },
});

localise(document);
setInterval(() => localise(list), 30_000);
toBottom();
socket.open();

/** @param {any} message */
function frame(message) {
  if (message.type === "welcome") {
    if (thread) socket.send({ type: "watch", conversation: thread.dataset.conversation, after });
    refreshList();
  } else if (message.type === "changed") {
    refreshList();
    document.title = document.title.replace(/^(\(\d+\) )?/, "");
  } else if (message.type === "turn") writing(message.turn);
  else if (message.type === "delta") delta(message);
  else if (message.type === "event") event(message);
  else if (message.type === "typing") visitorTypes(true);
}

/** The visitor is typing; not for long after the last key. @param {boolean} on */
function visitorTypes(on) {
  const note = document.getElementById("visitor-types");
  if (!note) return;
  const near = isNear();
  note.hidden = !on;
  clearTimeout(typed);
  if (on) typed = setTimeout(visitorTypes, TYPING_MS, false);
  if (near) toBottom();
}

/** @param {any} message */
function event(message) {
  if (message.seq <= after) return;
  after = message.seq;
  if (message.author === "visitor") visitorTypes(false);
  const near = isNear();
  if (message.html.trim()) {
    const holder = make("ol");
    place(holder, message.html);
    localise(holder);
    const element = holder.firstElementChild;
    if (element) {
      outward(element);
      if (message.turn && stream?.turn === message.turn && item) item.replaceWith(element);
      else if (item?.isConnected) item.before(element); // in the record it stands before the answer, which is not there yet
      else log.append(element);
    }
  }
  if (message.turn && stream?.turn === message.turn && (message.author === "bot" || message.kind === "turn.ended")) {
    if (item?.isConnected) item.remove();
    stream = item = null;
  }
  if (LINE_CHANGES.has(message.kind)) refresh("line");
  if (message.kind === "message.added" && message.author !== "visitor") refresh("about");
  if (near) toBottom();
}

/** @param {string} turn */
function writing(turn) {
  if (stream?.turn === turn) return;
  item?.remove();
  const body = make("div", { class: "bubble prose" });
  stream = new Stream(turn, body);
  item = make("li", { class: "message bot writing", "data-turn": turn }, make("span", { class: "by", text: `${thread?.dataset.bot}…` }), body);
  log.append(item);
  toBottom();
}

/** @param {any} message */
function delta(message) {
  if (stream?.turn !== message.turn) writing(message.turn);
  const near = isNear();
  stream?.add(message);
  if (near) toBottom();
}

function refreshList() {
  clearTimeout(soon);
  soon = setTimeout(async () => {
    const view = list.querySelector("[data-view]")?.getAttribute("data-view") ?? "";
    const open = thread?.dataset.conversation ?? "";
    const answer = await fetch(`${list.dataset.rows}?view=${view}&open=${open}`, { credentials: "same-origin" });
    if (!answer.ok) return;
    const top = list.querySelector(".rows")?.scrollTop ?? 0;
    place(list, await answer.text());
    list.querySelector(".rows")?.scrollTo(0, top);
    localise(list);
  }, REFRESH_MS);
}

/** Refresh a part of the thread; a reply being typed is kept. @param {"line" | "about"} part */
async function refresh(part) {
  const home = document.getElementById(part);
  const address = thread?.dataset[part];
  if (!home || !address) return;
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) return;
  const html = await answer.text();
  const box = home.querySelector("textarea"); // only now: whoever types did not wait for the answer
  const typed = box?.value ?? "";
  const at = box && document.activeElement === box ? [box.selectionStart, box.selectionEnd] : null;
  place(home, html);
  /** @type {any} */ (window).htmx?.process(home);
  localise(home);
  const fresh = home.querySelector("textarea");
  if (fresh && typed) fresh.value = typed;
  if (fresh && at) {
    fresh.focus();
    fresh.setSelectionRange(at[0], at[1]);
  }
}

function isNear() {
  return scroll ? scroll.scrollHeight - scroll.clientHeight - scroll.scrollTop < 120 : false;
}

function toBottom() {
  if (scroll) scroll.scrollTop = scroll.scrollHeight;
}

document.addEventListener("keydown", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLTextAreaElement) || event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) box.form?.requestSubmit();
});
document.addEventListener("htmx:afterSwap", (event) => {
  localise(/** @type {HTMLElement} */ (event.target));
  document.querySelector("#reply textarea")?.dispatchEvent(new Event("focus"));
  /** @type {HTMLElement | null} */ (document.querySelector("#reply textarea"))?.focus();
});

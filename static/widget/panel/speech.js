// Dictating: the browser turns speech into text, which waits in the text box like typed words until it is sent.
import { put, say } from "./words.js";

/** By the browser's code; what is not among them ends the dictation and needs no words. @type {Record<string, string>} */
const PROBLEMS = {
  "not-allowed": "speech_refused",
  "service-not-allowed": "speech_refused",
  "audio-capture": "speech_missing",
  "no-speech": "speech_failed",
  network: "speech_failed",
  "language-not-supported": "speech_failed",
};

const LOOK = `
  .mic[aria-pressed="true"] { background: var(--person-soft); color: var(--person); animation: listening 1.6s ease-in-out infinite; }
  @keyframes listening { 50% { box-shadow: 0 0 0 3px var(--person-soft); } }`;

/**
 * Show the button, where the browser can do it.
 * @param {any} config
 * @param {import("./composer.js").Composer} composer
 * @param {import("./view.js").View} view
 */
export function dictate(config, composer, view) {
  const button = /** @type {HTMLButtonElement} */ (document.getElementById("mic"));
  const Recognition = /** @type {any} */ (window).SpeechRecognition ?? /** @type {any} */ (window).webkitSpeechRecognition;
  if (!Recognition) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(LOOK);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  /** What listens now. @type {any} */
  let ear = null;
  let written = ""; // by it; other words in the box are the visitor's, and stay

  /** @param {boolean} listening */
  const draw = (listening) => {
    button.setAttribute("aria-pressed", String(listening));
    put(config, button, listening ? "dictate_end" : "dictate", {}, "title");
  };

  const end = () => {
    const was = ear;
    ear = null; // what is still heard no longer counts
    was?.abort();
    draw(false);
  };

  const begin = () => {
    const mine = new Recognition();
    const before = composer.box.value && !/\s$/.test(composer.box.value) ? `${composer.box.value} ` : composer.box.value;
    ear = mine;
    written = composer.box.value;
    mine.lang = tongue(config.language);
    mine.continuous = !/Android/.test(navigator.userAgent); // there each result holds those before it once more
    mine.interimResults = true;
    mine.onresult = (/** @type {any} */ event) => {
      if (ear !== mine) return;
      if (composer.box.value !== written) {
        end();
        return;
      }
      composer.box.value = written = before + Array.from(event.results, (/** @type {any} */ each) => each[0].transcript).join("");
      composer.box.dispatchEvent(new Event("input"));
    };
    mine.onerror = (/** @type {any} */ event) => {
      if (ear === mine && PROBLEMS[event.error]) view.problem(say(config, PROBLEMS[event.error]));
    };
    mine.onend = () => {
      if (ear !== mine) return;
      end();
      if (document.hasFocus()) composer.focus();
    };
    draw(true);
    view.announce(say(config, "listening"));
    try {
      mine.start();
    } catch {
      end();
      view.problem(say(config, "speech_failed"));
    }
  };

  button.hidden = false;
  button.addEventListener("click", () => (ear ? ear.stop() : begin())); // its last words still come
  composer.form.addEventListener("submit", end);
  composer.box.addEventListener("keydown", () => ear && end()); // hands have taken over
  new IntersectionObserver(([button]) => !button.isIntersecting && ear && end()).observe(button); // the panel was closed
}

/** The reader's own kind of the language, where the browser names it. @param {string} language */
function tongue(language) {
  const short = language.slice(0, 2);
  const usual = { "zh-hans": "zh-CN", "zh-hant": "zh-TW" }[language] ?? "en-US";
  return short === "zh" ? usual : (navigator.languages.find((each) => each.startsWith(short)) ?? usual);
}

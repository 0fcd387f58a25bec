// Baton's one script line: a launcher and, on the first click, the conversation in an iframe. See baton.d.ts, docs/widget.md.
(() => {
  const script = document.currentScript;
  if (!script || customElements.get("baton-chat")) return;
  const page = document.documentElement;
  const origin = new URL(script.src).origin;
  const { inbox = "", accent, theme: colorScheme, position, language: wish } = script.dataset;
  const rtl = getComputedStyle(page).direction === "rtl";
  const memory = `baton:${inbox}`;
  let language = wish || page.lang || navigator.language || "en";
  const words = () =>
    /^zh(?!.*hans).*-(hant|tw|hk|mo)/i.test(language)
      ? ["開啟聊天", "關閉聊天", "線上客服", "則未讀"]
      : /^zh/i.test(language)
        ? ["打开聊天", "关闭聊天", "在线客服", "条未读"]
      : ["Open chat", "Close chat", "Customer service chat", "unread"];

  const css = `
    :host { all: initial !important; position: fixed !important; bottom: 20px !important; right: 20px !important;
      z-index: var(--baton-z, 2147483000) !important; color-scheme: light dark !important;
      font: 15px/1.5 system-ui, sans-serif !important; }
    :host([side="left"]) { right: auto !important; left: 20px !important; }
    :host([hidden]) { display: none !important; }
    button { all: unset; position: relative; display: grid; place-items: center; width: 56px; height: 56px; border-radius: 50%;
      background: var(--baton-accent, #4451d6); color: #fff; cursor: pointer; box-shadow: 0 8px 24px rgb(15 17 21 / 12%); }
    button:focus-visible { outline: 2px solid var(--baton-accent, #4451d6); outline-offset: 3px; }
    svg { width: 28px; height: 28px; }
    span { position: absolute; top: -2px; right: -2px; min-width: 20px; box-sizing: border-box; padding: 0 5px;
      border-radius: 99px; background: #b2430b; color: #fff; font-size: 12px; font-weight: 600; line-height: 20px; text-align: center; }
    [hidden] { display: none !important; }
    iframe { position: fixed; right: 20px; bottom: 88px; width: min(400px, calc(100vw - 40px));
      height: min(660px, calc(100dvh - 112px)); border: 0; border-radius: var(--baton-radius, 16px); background: Canvas;
      box-shadow: 0 8px 24px rgb(15 17 21 / 12%); }
    :host([side="left"]) iframe { right: auto; left: 20px; }
    @media (max-width: 480px), (max-height: 420px) {
      iframe, :host([side="left"]) iframe { inset: 0; width: 100%; height: 100dvh; border-radius: 0; }
      :host([open]) button { display: none; } }
    @media (forced-colors: active) { button { border: 2px solid; } }
    @media print { :host { display: none !important; } }`;

  const add = (name, values, parent) => {
    const node = /^(svg|path)$/.test(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const key in values) node.setAttribute(key, values[key]);
    parent?.append(node);
    return node;
  };

  customElements.define(
    "baton-chat",
    class extends HTMLElement {
      disconnectedCallback() {
        ready = false; // a frame that is put back begins anew
      }
    },
  );
  const chat = add("baton-chat", { side: position || (rtl ? "left" : "right") });
  const root = chat.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [sheet];
  const button = add("button", { type: "button", "aria-haspopup": "dialog" }, root);
  const mark = add("svg", { viewBox: "0 0 28 28", fill: "none", "aria-hidden": "true", "stroke-linecap": "round", "stroke-linejoin": "round" }, button);
  const bubble = "M8 4.5h12a4 4 0 0 1 4 4V16a4 4 0 0 1-4 4h-6.5L8.5 24v-4H8a4 4 0 0 1-4-4V8.5a4 4 0 0 1 4-4Z";
  add("path", { d: bubble, stroke: "currentColor", "stroke-width": 1.8 }, mark);
  add("path", { d: "M10 15.5 14 12.25", stroke: "currentColor", "stroke-width": 2.6 }, mark);
  add("path", { d: "M14 12.25 18 9", stroke: "#ffb489", "stroke-width": 2.6 }, mark);
  const badge = add("span", {}, button);

  let ready = false;
  let shown = false;
  let frame = null;
  let waiting = [];
  const said = {}; // what a frame must know whenever it begins
  const heard = {};
  const stored = (name, ...value) => {
    try {
      return localStorage[name](memory, ...value);
    } catch {} // without storage the badge lives as long as the page
  };
  const recall = () => ({ unread: 0, last: 0, talked: 0, ...JSON.parse(stored("getItem") || "{}") });
  let kept = recall();

  const tell = (type, value) =>
    ready ? frame.contentWindow.postMessage({ baton: 1, type, value }, origin) : waiting.push([type, value]);
  const keep = (type, value) => {
    said[type] = value;
    if (ready) tell(type, value);
  };
  const emit = (name, detail) =>
    heard[name]?.forEach((listener) => {
      try {
        listener(detail);
      } catch (problem) {
        console.error(problem);
      }
    });
  const unknown = (name) => console.warn(`Baton: there is no "${String(name)}"`);
  const load = () => {
    if (frame) return;
    const src = `${origin}/widget/${inbox}/?language=${encodeURIComponent(language)}${rtl ? "&dir=rtl" : ""}`;
    frame = add("iframe", { src, allow: "clipboard-write; microphone", hidden: "" }, root);
    draw();
  };
  const draw = () => {
    const [open, close, title, unread] = words();
    const number = kept.unread > 99 ? "99+" : kept.unread;
    chat.toggleAttribute("open", shown);
    if (frame) {
      frame.hidden = !shown;
      frame.title = title;
    }
    button.setAttribute("aria-expanded", shown);
    button.setAttribute("aria-label", shown ? close : open + (number ? ` (${number} ${unread})` : ""));
    badge.hidden = shown || !number;
    badge.textContent = number;
    fitScreen();
  };
  const fitScreen = () => {
    const { scale, height, offsetTop } = visualViewport;
    const full = matchMedia("(max-width: 480px), (max-height: 420px)").matches && scale === 1;
    if (!frame) return;
    frame.style.height = full ? `${height}px` : "";
    frame.style.top = full ? `${offsetTop}px` : "";
  };
  const count = (unread) => {
    if (unread !== kept.unread) emit("unread", unread);
    kept.unread = unread;
    draw();
    if (kept.talked) stored("setItem", JSON.stringify(kept));
  };

  const api = {
    open() {
      load();
      shown = true;
      count(0);
      if (ready) tell("opened");
      frame.focus();
      emit("open");
    },
    close() {
      if (!shown) return;
      shown = false;
      draw();
      button.focus();
      emit("close");
    },
    toggle: () => (shown ? api.close() : api.open()),
    show: () => void (chat.hidden = false),
    hide() {
      api.close();
      chat.hidden = true;
    },
    identify: (token) => keep("identify", `${token}`),
    setLocale(wish) {
      language = `${wish}`;
      draw();
      keep("locale", language);
    },
    setTheme({ position, colorScheme, ...tokens } = {}) {
      for (const name in tokens) chat.style.setProperty(`--baton-${name}`, name === "radius" ? `${parseFloat(tokens[name])}px` : tokens[name]);
      if (position) chat.setAttribute("side", position);
      const [accent, radius, font] = ["accent", "radius", "font"].map((name) => getComputedStyle(chat).getPropertyValue(`--baton-${name}`));
      keep("theme", { colorScheme: colorScheme || said.theme?.colorScheme, accent, radius, font });
    },
    setContext: (data) => keep("context", { ...said.context, ...data }),
    sendMessage(text) {
      api.open();
      tell("say", `${text}`);
    },
    shutdown() {
      load();
      delete said.identify;
      delete said.context;
      tell("shutdown");
    },
    on: (name, listener) => void (heard[name] ??= new Set()).add(listener),
    off: (name, listener) => void heard[name]?.delete(listener),
    push: (...calls) => calls.forEach(([name, ...values]) => (Object.hasOwn(api, name) ? api[name](...values) : unknown(name))),
  };

  button.addEventListener("click", api.toggle);
  addEventListener("message", ({ origin: from, source, data }) => {
    if (from !== origin || source !== frame?.contentWindow || data?.baton !== 1) return;
    const { type, value } = data;
    if (type === "close") api.close();
    else if (type === "ready") {
      ready = true;
      api.setTheme();
      for (const name in said) tell(name, said[name]);
      if (shown) tell("opened");
      waiting.splice(0).forEach((call) => tell(...call));
      emit("ready");
    } else if (type === "talked") {
      kept.talked = Date.now();
      count(kept.unread);
    } else if (type === "message" && value.seq > kept.last) {
      kept.last = value.seq;
      count(shown ? 0 : kept.unread + 1);
      emit("message", { author: value.author });
    } else if (type === "accent") chat.style.setProperty("--baton-accent", value);
    else if (type === "ended") {
      frame.remove();
      stored("removeItem");
      frame = null;
      ready = shown = false;
      kept = recall();
      draw();
      emit("shutdown");
    } else if (type === "error" || type === "identified") emit(type, value);
  });
  // another tab has counted or read; one that is behind is not asked
  addEventListener("storage", ({ key }) => {
    const other = recall();
    if (key !== memory || (other.talked && other.last < kept.last)) return;
    if (shown) other.unread = 0;
    else if (other.last === kept.last) other.unread = Math.min(other.unread, kept.unread);
    kept = other;
    draw();
  });
  visualViewport.addEventListener("resize", fitScreen);
  visualViewport.addEventListener("scroll", fitScreen);

  // beside the body: sites swap that
  const place = () => chat.isConnected || page.append(chat);
  place();
  new MutationObserver(place).observe(page, { childList: true });
  api.setTheme({ ...(accent && { accent }), colorScheme });
  draw();

  // window.Baton = window.Baton || []; Baton.push(["open"]) works before and after this script has loaded
  const early = window.Baton;
  const get = (known, name) => (name in known || typeof name === "symbol" || name === "then" ? known[name] : () => unknown(name));
  window.Baton = new Proxy(api, { get });
  if (Array.isArray(early)) api.push(...early);
  // somebody who talked here today hears of an answer on every page
  if (Date.now() - kept.talked < 864e5) setTimeout(load, 500);
})();

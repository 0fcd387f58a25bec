// Baton's one script line: a launcher in a shadow root and, on the first click, the conversation in an iframe of ours.
// It needs `script-src` and `frame-src` of the chat server and nothing else; it stores nothing and asks for nothing
// before the click.
(() => {
  const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);
  if (!script || window.customElements.get("baton-chat")) return;
  const origin = new URL(script.src).origin;
  const inbox = script.dataset.inbox || "";
  const side = script.dataset.position === "left" ? "left" : "right";
  const language = script.dataset.language || document.documentElement.lang || navigator.language || "en";
  const chinese = /^zh/i.test(language);
  const words = chinese
    ? { open: "打开聊天", close: "关闭聊天", frame: "在线客服", unread: "条未读" }
    : { open: "Open chat", close: "Close chat", frame: "Customer service chat", unread: "unread" };

  const css = `
    :host { all: initial !important; position: fixed !important; inset-block-end: 20px !important;
      ${side}: 20px !important; z-index: 2147483000 !important; color-scheme: light dark !important;
      font: 15px/1.5 system-ui, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif !important; }
    :host([hidden]) { display: none !important; }
    button { all: unset; position: relative; display: grid; place-items: center; width: 56px; height: 56px;
      margin-inline-start: auto; border-radius: 50%; background: var(--baton-accent, #4451d6); color: #fff; cursor: pointer;
      box-shadow: 0 8px 24px rgb(15 17 21 / 22%); }
    button:focus-visible { outline: 2px solid var(--baton-accent, #4451d6); outline-offset: 3px; }
    svg { width: 28px; height: 28px; }
    .badge { position: absolute; inset-block-start: -2px; inset-inline-end: -2px; min-width: 20px; box-sizing: border-box;
      padding: 0 5px; border-radius: 99px; background: #b2430b; color: #fff; font-size: 12px; font-weight: 600;
      line-height: 20px; text-align: center; }
    .badge[hidden], iframe[hidden] { display: none; }
    iframe { position: fixed; ${side}: 20px; inset-block-end: 88px; width: min(400px, calc(100vw - 40px));
      height: min(660px, calc(100dvh - 112px)); border: 0; border-radius: 16px; background: Canvas;
      box-shadow: 0 8px 24px rgb(15 17 21 / 18%); }
    @media (max-width: 480px), (max-height: 420px) {
      iframe { inset: 0; width: 100%; height: 100dvh; border-radius: 0; }
      :host([open]) button { display: none; } }
    @media print { :host { display: none !important; } }`;

  class BatonChat extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      const root = this.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      root.adoptedStyleSheets = [sheet];
      this.button = document.createElement("button");
      this.button.type = "button";
      this.button.setAttribute("aria-haspopup", "dialog");
      this.button.append(mark());
      this.badge = document.createElement("span");
      this.badge.className = "badge";
      this.badge.hidden = true;
      this.button.append(this.badge);
      this.button.addEventListener("click", () => this.toggle());
      root.append(this.button);
      if (script?.dataset.accent) this.style.setProperty("--baton-accent", script.dataset.accent);
      addEventListener("message", (event) => this.heard(event));
      this.unread = 0;
      this.show(false);
    }

    open() {
      if (!this.frame) {
        this.frame = document.createElement("iframe");
        this.frame.src = `${origin}/widget/${inbox}/?language=${encodeURIComponent(language)}`;
        this.frame.title = words.frame;
        this.frame.allow = "clipboard-write";
        this.shadowRoot?.append(this.frame);
      }
      this.unread = 0;
      this.show(true);
      this.tell({ type: "opened" });
      this.frame.focus();
    }

    close() {
      this.show(false);
      this.tell({ type: "closed" });
      this.button?.focus();
    }

    toggle() {
      if (this.hasAttribute("open")) this.close();
      else this.open();
    }

    /** @param {boolean} open */
    show(open) {
      this.toggleAttribute("open", open);
      if (this.frame) this.frame.hidden = !open;
      if (!this.button || !this.badge) return;
      const unread = this.unread ? ` (${this.unread} ${words.unread})` : "";
      this.button.setAttribute("aria-expanded", String(open));
      this.button.setAttribute("aria-label", open ? words.close : words.open + unread);
      this.badge.hidden = open || !this.unread;
      this.badge.textContent = this.unread > 99 ? "99+" : String(this.unread);
    }

    /** @param {object} message */
    tell(message) {
      if (this.ready) this.frame?.contentWindow?.postMessage({ baton: 1, ...message }, origin);
    }

    /** @param {MessageEvent} event */
    heard(event) {
      if (event.origin !== origin || event.source !== this.frame?.contentWindow || event.data?.baton !== 1) return;
      if (event.data.type === "close") this.close();
      if (event.data.type === "ready") {
        this.ready = true;
        this.tell({ type: this.hasAttribute("open") ? "opened" : "closed" });
      }
      if (event.data.type === "message" && !this.hasAttribute("open")) {
        this.unread += 1;
        this.show(false);
      }
    }
  }

  /** Our mark: a slanted baton of two halves in a speech bubble. */
  function mark() {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 28 28");
    svg.setAttribute("fill", "none");
    svg.setAttribute("aria-hidden", "true");
    /** @param {string} d @param {string} stroke @param {string} width */
    const line = (d, stroke, width) => {
      const path = document.createElementNS(space, "path");
      for (const [name, value] of Object.entries({ d, stroke, "stroke-width": width })) path.setAttribute(name, value);
      path.setAttribute("stroke-linecap", "round");
      path.setAttribute("stroke-linejoin", "round");
      svg.append(path);
    };
    line("M8 4.5h12a4 4 0 0 1 4 4V16a4 4 0 0 1-4 4h-6.5L8.5 24v-4H8a4 4 0 0 1-4-4V8.5a4 4 0 0 1 4-4Z", "currentColor", "1.8");
    line("M10 15.5 14 12.250", "currentColor", "2.6");
    line("M14 12.250 18 9", "#ffb489", "2.6");
    return svg;
  }

  window.customElements.define("baton-chat", BatonChat);
  const chat = new BatonChat();
  const place = () => document.body.append(chat);
  if (document.body) place();
  else addEventListener("DOMContentLoaded", place);

  // window.Baton = window.Baton || []; Baton.push(["open"]) works before and after this script has loaded
  const waiting = Array.isArray(/** @type {any} */ (window).Baton) ? /** @type {any} */ (window).Baton : [];
  /** @param {[string]} call */
  const push = ([name]) => {
    if (name === "open" || name === "close" || name === "toggle") chat[name]();
    else console.warn(`Baton: there is no "${name}"`);
  };
  /** @type {any} */ (window).Baton = { push, open: () => chat.open(), close: () => chat.close(), toggle: () => chat.toggle() };
  waiting.forEach(push);
})();

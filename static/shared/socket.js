// A WebSocket that comes back: growing pauses with jitter, a ping so that dead connections are noticed.

const FIRST_MS = 300;
const LONGEST_MS = 15_000;
const PING_MS = 25_000;
const SILENT_MS = 40_000;
const RESTARTING = 1012;
const RESTART_MS = 1_000; // all who were on that server come back within this, not at once
const TOO_MANY = 4029;
const FINAL = new Set([4001, 4003]);

/**
 * How long to wait before the next try, in milliseconds; null: no further try makes sense.
 * @param {number} code the close code
 * @param {number} tries how many have failed in a row
 * @param {number} chance 0 to 1, so that clients do not come back in step
 */
export function pause(code, tries, chance) {
  if (FINAL.has(code)) return null;
  if (code === RESTARTING && !tries) return RESTART_MS * chance;
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** (code === TOO_MANY ? tries + 4 : tries));
  return longest * (0.5 + chance / 2);
}

export class Socket {
  /**
   * @param {string} path
   * @param {{
   *   hello: () => object,
   *   frame: (frame: any) => void,
   *   state: (state: "connecting" | "open" | "lost" | "closed", code?: number) => void,
   * }} on
   */
  constructor(path, on) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.on = on;
    this.tries = 0;
    this.over = false;
    /** @type {WebSocket | null} */
    this.socket = null;
    addEventListener("online", () => this.#now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#now());
  }

  open() {
    if (this.socket || this.over) return;
    this.on.state("connecting");
    const socket = (this.socket = new WebSocket(this.url));
    socket.onopen = () => {
      this.heard = Date.now();
      this.send(this.on.hello());
      this.send({ type: "ping" }); // its answer says that everything missed has been told
      this.beat = setInterval(() => this.#ping(), PING_MS);
    };
    socket.onmessage = (event) => {
      this.heard = Date.now();
      const frame = JSON.parse(event.data);
      if (frame.type === "welcome") {
        this.tries = 0;
        this.on.state("open");
      }
      this.on.frame(frame);
    };
    socket.onclose = (event) => {
      clearInterval(this.beat);
      if (this.socket !== socket) return; // one that was replaced
      this.socket = null;
      const wait = this.over ? null : pause(event.code, this.tries++, Math.random());
      if (wait === null) {
        this.over = true;
        this.on.state("closed", event.code);
        return;
      }
      this.on.state("lost");
      this.timer = setTimeout(() => this.open(), wait);
    };
  }

  /**
   * Send a frame, if there is a connection.
   * @param {object} frame
   * @returns {boolean}
   */
  send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** Begin anew at once: with another session or another language. */
  restart() {
    const before = this.socket;
    this.socket = null;
    this.over = false;
    this.tries = 0;
    clearTimeout(this.timer);
    before?.close();
    this.open();
  }

  close() {
    this.over = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  #ping() {
    if (Date.now() - (this.heard ?? 0) > SILENT_MS) this.socket?.close();
    else this.send({ type: "ping" });
  }

  #now() {
    if (this.socket || this.over || !this.tries) return;
    clearTimeout(this.timer);
    this.open();
  }
}

// A WebSocket that comes back: growing pauses with jitter, a ping so that dead connections are noticed.

const FIRST_MS = 300;
const LONGEST_MS = 15_000;
const PING_MS = 25_000;
const SILENT_MS = 40_000;
const RESTARTING = 1012;
const FINAL = new Set([4001, 4003]);

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
      this.beat = setInterval(() => this.#ping(), PING_MS);
    };
    socket.onmessage = (event) => {
      this.heard = Date.now();
      const frame = JSON.parse(event.data);
      if (frame.type === "welcome") {
        this.tries = 0;
        this.on.state("open");
      }
      if (frame.type !== "pong") this.on.frame(frame);
    };
    socket.onclose = (event) => {
      clearInterval(this.beat);
      this.socket = null;
      if (this.over || FINAL.has(event.code)) {
        this.on.state("closed", event.code);
        return;
      }
      this.on.state("lost");
      const pause = event.code === RESTARTING ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** this.tries++);
      this.timer = setTimeout(() => this.open(), pause * (0.5 + Math.random()));
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

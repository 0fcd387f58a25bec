// Who the visitor is: a cookie that is set with the first words, or a token in memory where browsers keep no cookie.

export class Session {
  /** @param {any} config */
  constructor(config) {
    this.config = config;
    this.known = Boolean(config.known);
    this.token = "";
    /** The site's word for who this is, until there is a session. */
    this.identity = "";
    /** What the form before the chat was answered. @type {Record<string, string>} */
    this.answers = {};
    this.memoryOnly = false;
    /** The public id of the conversation one has joined. */
    this.conversation = "";
    /** @type {Promise<any> | null} */
    this.starting = null;
    /** @type {Promise<any> | null} */
    this.naming = null;
  }

  /**
   * Make the session with the visitor's first words; not before.
   * @returns {Promise<{ok: boolean, text?: string, wrong?: Record<string, string>}>}
   */
  async start() {
    await this.naming; // who it is comes before what they say
    if (this.known) return { ok: true };
    this.starting ??= this.#begin().finally(() => (this.starting = null));
    return this.starting;
  }

  async #begin() {
    const words = { language: this.config.language, identity: this.identity, answers: this.answers };
    try {
      const first = await this.post("session/", words);
      if (!first.ok) return { ok: false, ...(await first.json().catch(() => ({}))) };
      await this.remember("session/", words);
    } catch {
      return { ok: false };
    }
    this.known = true;
    return { ok: true };
  }

  async end() {
    await this.post("session/end/", {}).catch(() => null);
    this.known = false;
    this.token = this.identity = "";
  }

  /** @param {string} path @param {object} body */
  post(path, body) {
    return this.fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Baton": "widget" },
      body: JSON.stringify(body),
    });
  }

  /** @param {string} path @param {RequestInit} [options] */
  fetch(path, options = {}) {
    const more = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    return fetch(this.config.home + path, {
      ...options,
      credentials: "same-origin",
      headers: { .../** @type {object} */ (options.headers), .../** @type {object} */ (more) },
    });
  }

  /** Where the browser has not kept the cookie, the token stays in memory. @param {string} path @param {object} words */
  async remember(path, words) {
    const check = await this.fetch("session/check/");
    if (check.ok) return;
    const again = await this.post(path, { ...words, memory: true });
    if (!again.ok) throw again;
    this.token = (await again.json()).token ?? "";
    this.memoryOnly = true;
  }
}

/** What `window.Baton` can do on a page with Baton's script line. Before the script has loaded:
 *  `window.Baton = window.Baton || []; Baton.push(["open"])`. */
export interface BatonEvents {
  /** The conversation's frame is there. */
  ready: undefined;
  open: undefined;
  close: undefined;
  /** A message of the assistant or of a person has come. Its words stay in the frame. */
  message: { author: "bot" | "agent" };
  /** The number of unread messages has changed. */
  unread: number;
  /** The visitor you named with `identify` was recognised. */
  identified: undefined;
  /** Something was refused; `code` is for programs, `text` for people. A refused `identify` has the code "identity". */
  error: { code: string; text: string };
  /** The session is gone. */
  shutdown: undefined;
}

export interface BatonTheme {
  /** `#rrggbb`; darkened where white could not be read on it. */
  accent?: string;
  /** Of the panel, in pixels, 0 to 24. */
  radius?: number | string;
  /** A CSS font family. */
  font?: string;
  position?: "left" | "right";
  z?: number;
  colorScheme?: "light" | "dark" | "auto";
}

export interface Baton {
  open(): void;
  close(): void;
  toggle(): void;
  /** Show the launcher again after `hide`. */
  show(): void;
  /** Close the panel and take the launcher away. */
  hide(): void;
  /** Name the signed-in visitor: a JWT, HS256 with the inbox's identity secret, with `sub`, `exp`, `aud` = the inbox's id,
   *  and optionally `name` and `email`. Make it on your server; read when the panel opens. */
  identify(token: string): void;
  /** "en" or "zh"; other languages get English. Changes every text without a reload. */
  setLocale(language: string): void;
  setTheme(theme: BatonTheme): void;
  /** What agents should know about the visit: at most 20 short values. */
  setContext(data: Record<string, string | number>): void;
  /** Open the panel and send this as the visitor's message. */
  sendMessage(text: string): void;
  /** The visitor signs out: this browser forgets the conversation. */
  shutdown(): void;
  on<Name extends keyof BatonEvents>(name: Name, listener: (detail: BatonEvents[Name]) => void): void;
  off<Name extends keyof BatonEvents>(name: Name, listener: (detail: BatonEvents[Name]) => void): void;
  push(...calls: [name: string, ...values: unknown[]][]): void;
}

declare global {
  interface Window {
    Baton: Baton;
  }
}

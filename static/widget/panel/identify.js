// The site names its visitor; what they said before, on whatever device, is the conversation from then on.

/**
 * "other": there is another conversation to show, or none yet.
 * @param {import("./session.js").Session} session
 * @param {string} token
 * @returns {Promise<{code: string, text: string} | "same" | "other">}
 */
export async function identify(session, token) {
  const words = { identity: token, language: session.config.language, memory: Boolean(session.token) };
  const answer = await session.post("identify/", words);
  const found = await answer.json();
  if (!answer.ok) return found;
  const was = session.known ? session.conversation : "";
  session.identity = token;
  session.known = Boolean(found.conversation);
  if (found.token) session.token = found.token;
  else if (session.known) await session.remember("identify/", words);
  return was === (found.conversation ?? "") ? "same" : "other";
}

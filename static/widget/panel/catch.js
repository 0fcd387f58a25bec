// Files are chosen, dropped or pasted here; what may be sent is told before.
import { megabytes, put } from "./words.js";

/** @param {any} config @param {(files: File[]) => void} add */
export function catchFiles(config, add) {
  const button = /** @type {HTMLElement} */ (document.getElementById("clip"));
  const sign = /** @type {HTMLElement} */ (document.getElementById("drop"));
  const picker = /** @type {HTMLInputElement} */ (document.getElementById("picker"));
  button.hidden = false;
  const size = { size: megabytes(config.files.most) };
  put(config, button, "files_allowed", size, "title");
  for (const place of [document.getElementById("clip-help"), sign.querySelector("span")]) if (place) put(config, place, "files_allowed", size);
  picker.accept = config.files.kinds.join(",");
  picker.addEventListener("change", () => {
    add([...(picker.files ?? [])]);
    picker.value = "";
  });
  button.addEventListener("click", () => picker.click());
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    add(files);
  });
  let depth = 0;
  for (const type of /** @type {const} */ (["dragenter", "dragover", "dragleave", "drop"])) {
    addEventListener(type, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      depth = type === "drop" ? 0 : depth + Number(type === "dragenter") - Number(type === "dragleave");
      sign.hidden = depth < 1;
      if (type === "drop") add([...event.dataTransfer.files]);
    });
  }
}

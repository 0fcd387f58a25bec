// The provider's form shows only what its dialect uses. Without this script it shows everything.
const dialect = document.querySelector("#id_dialect");

const only = {
  new_key: ["deepseek", "openai"],
  new_client_id: ["gateway"],
  new_client_secret: ["gateway"],
  api_version: ["gateway"],
  text_path: ["gateway"],
  chunks: ["gateway"],
  logit_bias: ["gateway"],
  context_window: ["gateway", "openai"],
};

function show() {
  for (const [field, dialects] of Object.entries(only)) {
    const row = document.querySelector(`.field-${field}`);
    if (row && !row.querySelector(".errorlist")) row.hidden = !dialects.includes(dialect.value);
  }
  const model = document.querySelector("#id_model");
  if (dialect.value === "deepseek") model.setAttribute("list", "known-models");
  else model.removeAttribute("list");
}

if (dialect) {
  dialect.addEventListener("change", show);
  show();
}

// Light or dark as the system says, unless a person chose.

import { byId, put } from "./dom.js";

const choices = ["system", "light", "dark"];
const key = "coupongrant.theme";

// startTheme calls changed after each change of colours.
export function startTheme(changed) {
  let choice = remembered();
  const apply = () => {
    if (choice === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    put(byId("theme"), `Theme: ${choice}`);
    changed();
  };
  byId("theme").addEventListener("click", () => {
    choice = choices[(choices.indexOf(choice) + 1) % choices.length];
    try {
      localStorage.setItem(key, choice);
    } catch {
      // a browser that keeps nothing
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
}

function remembered() {
  try {
    const kept = localStorage.getItem(key);
    return choices.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}

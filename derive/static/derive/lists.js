// Keys in a list: j and k move between rows, x selects, / searches, v opens the views; Enter opens the focused link.
(() => {
  "use strict";

  const isTyping = (element) => element.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable]");

  const move = (table, step) => {
    const rows = [...table.tBodies[0].rows];
    const place = rows.findIndex((row) => row.contains(document.activeElement));
    const next = place < 0 ? (step > 0 ? 0 : rows.length - 1) : place + step;
    const link = rows[Math.min(Math.max(next, 0), rows.length - 1)]?.querySelector("a");
    link?.focus();
    link?.closest("tr").scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    const table = document.querySelector("[data-row-keys]");
    if (!table || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const keys = {
      j: () => move(table, 1),
      k: () => move(table, -1),
      x: () => document.activeElement.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
      v: () => document.querySelector(".hc-views summary")?.click(),
      "/": () => document.querySelector("input[type=search][name=q]")?.focus(),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
})();

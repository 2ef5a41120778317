// The command palette: Ctrl+K or ⌘K opens it, the arrows choose, Enter goes there.
(() => {
  "use strict";

  const WAIT_MILLISECONDS = 150;

  document.addEventListener("DOMContentLoaded", () => {
    const dialog = document.getElementById("hc-palette");
    if (!dialog) return;
    const input = dialog.querySelector("input");
    const list = dialog.querySelector("[role=listbox]");
    const status = dialog.querySelector("[role=status]");
    let timer = 0;
    let asked = 0;
    let chosen = 0;
    let shownFor = null;

    const options = () => [...list.children];
    const choose = (place) => {
      const all = options();
      chosen = all.length ? (place + all.length) % all.length : 0;
      all.forEach((one, number) => one.setAttribute("aria-selected", String(number === chosen)));
      input.setAttribute("aria-activedescendant", all[chosen]?.id || "");
      all[chosen]?.scrollIntoView({ block: "nearest" });
    };
    const show = (found) => {
      list.replaceChildren(
        ...found.map((one, number) => {
          const option = document.createElement("li");
          option.id = `hc-palette-${number}`;
          option.setAttribute("role", "option");
          option.dataset.link = one.link;
          const what = document.createElement("small");
          what.textContent = one.what;
          option.append(document.createTextNode(one.title), " ", what);
          return option;
        }),
      );
      status.textContent = found.length ? "" : "Nothing found. Jobs and entities are found by their exact ids.";
      choose(0);
    };
    const ask = async () => {
      const number = ++asked;
      const term = input.value;
      try {
        const answer = await fetch(`${dialog.dataset.address}?${new URLSearchParams({ q: term })}`, {
          redirect: "error",
        });
        const { found } = await answer.json();
        if (number !== asked) return;
        shownFor = term;
        show(found);
      } catch {
        if (number === asked) status.textContent = "The search failed: reload the page.";
      }
    };
    const open = () => {
      if (dialog.open) return;
      dialog.showModal();
      input.value = "";
      input.focus();
      ask();
    };
    const go = (option) => {
      if (option) location.assign(option.dataset.link);
    };

    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open();
      }
    });
    for (const button of document.querySelectorAll("[data-palette]")) button.addEventListener("click", open);
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT_MILLISECONDS);
    });
    input.addEventListener("keydown", async (event) => {
      const keys = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1) };
      if (event.key === "Enter") {
        event.preventDefault();
        // What was typed last is looked for before it is gone to.
        clearTimeout(timer);
        if (shownFor !== input.value) await ask();
        go(options()[chosen]);
      } else if (Object.hasOwn(keys, event.key)) {
        event.preventDefault();
        keys[event.key]();
      }
    });
    list.addEventListener("click", (event) => go(event.target.closest("[role=option]")));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  });
})();

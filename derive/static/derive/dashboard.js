// The dashboard: its pause button, and charts that screen readers can read.
(() => {
  "use strict";

  const board = document.getElementById("hc-dash");
  if (!board) return;
  const status = document.getElementById("hc-status");
  const pause = document.getElementById("hc-pause");
  const tip = document.getElementById("hc-tip");
  const tipText = document.getElementById("hc-tip-text");
  const everySeconds = Number(board.dataset.seconds);
  const PAUSED = "holocron-dashboard-paused";

  let updated = new Date();
  const remembers = () => {
    try {
      return localStorage.getItem(PAUSED) === "1";
    } catch {
      return false;
    }
  };
  let isPaused = remembers();

  // The text beside the button.

  const clock = (at) => at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const tell = (text, isBad = false) => {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("hc-bad", isBad);
  };
  const tellState = () => {
    pause.textContent = isPaused ? "Resume" : "Pause";
    pause.setAttribute("aria-pressed", String(isPaused));
    if (isPaused) tell(`Paused. Figures as of ${clock(updated)}.`);
    else tell(`Refreshes every ${everySeconds} s.`);
  };

  const live = window.holocronLive(board, {
    mayAsk: () => !isPaused,
    onAnswer: () => {
      updated = new Date();
      tellState();
    },
    onFault: () => tell(`No answer since ${clock(updated)}; retrying.`, true),
    onLoggedOut: () => tell("You are logged out, or may not see this any more. Load the page again.", true),
  });

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    try {
      localStorage.setItem(PAUSED, isPaused ? "1" : "0");
    } catch {
      // Storage is unavailable, so the choice is not remembered.
    }
    tellState();
    if (isPaused) live.pause();
    else live.refresh();
  });

  // Charts: a column is described on hover, or when selected with the arrow keys.

  let marked = null;
  const hide = () => {
    tip.hidden = true;
    marked?.classList.remove("is-marked");
    marked = null;
  };
  const show = (hit, isSaid) => {
    if (marked !== hit) {
      marked?.classList.remove("is-marked");
      hit.classList.add("is-marked");
      marked = hit;
      const title = document.createElement("b");
      title.textContent = hit.dataset.label;
      const lines = hit.dataset.lines.split("\n").map((text) => {
        const line = document.createElement("span");
        line.textContent = text;
        return line;
      });
      tip.replaceChildren(title, ...lines);
    }
    tip.hidden = false;
    const at = hit.getBoundingClientRect();
    const own = tip.getBoundingClientRect();
    const middle = at.left + at.width / 2 - own.width / 2;
    tip.style.left = `${Math.max(8, Math.min(middle, document.documentElement.clientWidth - own.width - 8))}px`;
    tip.style.top = `${Math.max(8, at.top - own.height - 8)}px`;
    if (isSaid) tipText.textContent = `${hit.dataset.label}: ${hit.dataset.lines.replaceAll("\n", ", ")}`;
  };

  board.addEventListener("pointerover", (event) => {
    const hit = event.target.closest?.(".hc-hit");
    if (hit) show(hit, false);
    else if (!event.target.closest?.(".hc-svg")) hide();
  });
  board.addEventListener("pointerleave", hide);
  board.addEventListener("focusout", hide);
  window.addEventListener("scroll", hide, { passive: true, capture: true });
  board.addEventListener("keydown", (event) => {
    const chart = event.target.closest?.("[data-chart]");
    if (!chart) return;
    if (event.key === "Escape") return hide();
    const hits = [...chart.querySelectorAll(".hc-hit")];
    const place = hits.indexOf(marked);
    const places = {
      ArrowLeft: place < 0 ? hits.length - 1 : Math.max(0, place - 1),
      ArrowRight: place < 0 ? 0 : Math.min(hits.length - 1, place + 1),
      Home: 0,
      End: hits.length - 1,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    show(hits[places[event.key]], true);
  });

  // Tables are created on demand.
  board.addEventListener(
    "toggle",
    (event) => {
      const details = event.target;
      if (!details.dataset?.table || !details.open || details.querySelector("table")) return;
      const chart = board.querySelector(`[data-chart="${details.dataset.table}"]`);
      const table = document.createElement("table");
      table.className = "hc-table";
      for (const hit of [...chart.querySelectorAll(".hc-hit")].reverse()) {
        const row = table.insertRow();
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = hit.dataset.label;
        row.append(head);
        row.insertCell().textContent = hit.dataset.lines.replaceAll("\n", ", ");
      }
      const scroll = document.createElement("div");
      scroll.className = "hc-scroll";
      scroll.tabIndex = 0;
      scroll.append(table);
      details.append(scroll);
    },
    true,
  );

  tellState();
  pause.hidden = false;
  // Soon, because the first health check may not have finished when the page was rendered.
  live.later(1);
})();

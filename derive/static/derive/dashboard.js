// The dashboard: asks for its parts again, exchanges those that changed, tells ages, and reads charts out.
(() => {
  "use strict";

  const board = document.getElementById("hc-dash");
  if (!board) return;
  const status = document.getElementById("hc-status");
  const pause = document.getElementById("hc-pause");
  const tip = document.getElementById("hc-tip");
  const tipText = document.getElementById("hc-tip-text");
  const everySeconds = Number(board.dataset.seconds);
  const LONGEST_SECONDS = 60;
  const PAUSED = "holocron-dashboard-paused";

  // What the server sent for each part, before ages and tables were written into it.
  const known = new Map();
  let tag = "";
  let updated = new Date();
  let failures = 0;
  let timer = 0;
  let asking = false;

  const remembers = () => {
    try {
      return localStorage.getItem(PAUSED) === "1";
    } catch {
      return false;
    }
  };
  let isPaused = remembers();

  // Ages.

  const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];
  const duration = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    for (const [unit, size, lesser, lesserSize] of UNITS) {
      if (whole >= size) {
        const rest = Math.floor((whole % size) / lesserSize);
        return rest ? `${Math.floor(whole / size)} ${unit} ${rest} ${lesser}` : `${Math.floor(whole / size)} ${unit}`;
      }
    }
    return `${whole} s`;
  };
  const tellAges = () => {
    const now = Date.now();
    for (const element of board.querySelectorAll("time[data-ago]")) {
      const text = duration((now - new Date(element.dateTime).getTime()) / 1000);
      if (element.textContent !== text) element.textContent = text;
    }
  };

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

  // Parts.

  const parts = (root) => [...root.querySelectorAll("[data-part]")];
  const remember = () => {
    for (const part of parts(board)) known.set(part.dataset.part, part.outerHTML);
  };

  const exchange = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const names = (root) => parts(root).map((part) => part.dataset.part).join();
    if (names(fresh) !== names(board)) {
      const focused = document.activeElement?.id;
      board.replaceChildren(...fresh.body.childNodes);
      known.clear();
      remember();
      refocus(focused);
      return;
    }
    for (const part of parts(fresh)) {
      const name = part.dataset.part;
      if (known.get(name) === part.outerHTML) continue;
      known.set(name, part.outerHTML);
      const old = board.querySelector(`[data-part="${name}"]`);
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const focusedId = focused?.id || focused?.dataset?.chart;
      const open = [...old.querySelectorAll("details[open]")].map((one) => one.id);
      old.replaceWith(document.adoptNode(part));
      for (const id of open) {
        const details = document.getElementById(id);
        if (details) details.open = true;
      }
      refocus(focusedId);
    }
  };

  const refocus = (id) => {
    if (!id) return;
    const element = document.getElementById(id) || board.querySelector(`[data-chart="${CSS.escape(id)}"]`);
    element?.focus({ preventScroll: true });
  };

  // Refreshing.

  const mayAsk = () => !isPaused && !document.hidden;
  const later = (seconds) => {
    clearTimeout(timer);
    if (mayAsk()) timer = setTimeout(refresh, seconds * 1000);
  };

  const refresh = async () => {
    if (asking || !mayAsk()) return;
    asking = true;
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const answer = await fetch(board.dataset.address, {
        headers,
        redirect: "manual",
        cache: "no-store",
        signal: AbortSignal.timeout(LONGEST_SECONDS * 1000),
      });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        tell("You are logged out, or may not see this any more. Load the page again.", true);
        return;
      }
      if (answer.status !== 304) {
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        exchange(await answer.text());
        tag = answer.headers.get("ETag") || "";
      }
      updated = new Date();
      failures = 0;
      tellAges();
      tellState();
      later(everySeconds);
    } catch {
      failures += 1;
      tell(`No answer since ${clock(updated)}; retrying.`, true);
      later(Math.min(everySeconds * 2 ** failures, LONGEST_SECONDS));
    } finally {
      asking = false;
    }
  };

  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    try {
      localStorage.setItem(PAUSED, isPaused ? "1" : "0");
    } catch {
      // Not remembered, then.
    }
    tellState();
    if (isPaused) clearTimeout(timer);
    else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else refresh();
  });

  // Charts: a column is described when it is pointed at, or by arrow keys.

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

  // Tables are made when somebody wants one.
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

  remember();
  tellAges();
  tellState();
  pause.hidden = false;
  setInterval(tellAges, 1000);
  // Soon: the first look at what is well may not have been over when the page was made.
  later(1);
})();

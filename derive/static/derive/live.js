// Live parts of a page: polls for them and replaces those that changed. A hidden page does not poll.
(() => {
  "use strict";

  const LONGEST_SECONDS = 60;

  const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];
  const duration = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 0) return `in ${duration(-whole)}`;
    for (const [unit, size, lesser, lesserSize] of UNITS) {
      if (whole >= size) {
        const rest = Math.floor((whole % size) / lesserSize);
        return rest ? `${Math.floor(whole / size)} ${unit} ${rest} ${lesser}` : `${Math.floor(whole / size)} ${unit}`;
      }
    }
    return `${whole} s`;
  };

  // `onAnswer`, `onFault` and `onLoggedOut` report results; `mayAsk` says whether it may poll now. With `slowsDown`, it
  // polls less often after responses without changes.
  window.holocronLive = (board, { mayAsk = () => true, onAnswer, onFault, onLoggedOut, slowsDown = false }) => {
    const everySeconds = Number(board.dataset.seconds);
    // The server's HTML of each part, before ages and tables were added to it.
    const known = new Map();
    let tag = "";
    let timer = 0;
    let asking = false;
    let failures = 0;
    let quiet = 0;
    let isOver = false;

    const tellAges = () => {
      const now = Date.now();
      for (const element of board.querySelectorAll("time[data-ago], time[data-age]")) {
        const text = duration((now - new Date(element.dateTime).getTime()) / 1000);
        if (element.textContent !== text) element.textContent = text;
      }
    };

    const parts = (root) => [...root.querySelectorAll("[data-part]")];
    const remember = () => {
      for (const part of parts(board)) known.set(part.dataset.part, part.outerHTML);
    };
    const refocus = (id) => {
      if (!id) return;
      const element = document.getElementById(id) || board.querySelector(`[data-chart="${CSS.escape(id)}"]`);
      element?.focus({ preventScroll: true });
    };
    const exchangePart = (old, part) => {
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const focusedId = focused?.id || focused?.dataset?.chart;
      const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
      const ticked = new Set([...old.querySelectorAll("input[type=checkbox][value]:checked")].map((one) => one.value));
      old.replaceWith(document.adoptNode(part));
      // A job in a different state has a different value, so it is no longer what was selected.
      for (const box of part.querySelectorAll("input[type=checkbox][value]")) if (ticked.has(box.value)) box.checked = true;
      for (const id of open) {
        const details = document.getElementById(id);
        if (details) details.open = true;
      }
      refocus(focusedId);
    };
    // Replaces the parts that are sent; with `isWhole`, also adds and removes parts.
    const exchange = (html, isWhole) => {
      const sent = new DOMParser().parseFromString(html, "text/html");
      const fresh = sent.querySelector("[data-live]") || sent;
      const names = (root) => parts(root).map((part) => part.dataset.part).join();
      if (isWhole && names(fresh) !== names(board)) {
        const focused = document.activeElement?.id;
        board.replaceChildren(...(fresh === sent ? sent.body : fresh).childNodes);
        known.clear();
        remember();
        refocus(focused);
        return;
      }
      for (const part of parts(fresh)) {
        const name = part.dataset.part;
        const old = board.querySelector(`[data-part="${name}"]`);
        if (!old || known.get(name) === part.outerHTML) continue;
        known.set(name, part.outerHTML);
        exchangePart(old, part);
      }
    };

    const later = (seconds) => {
      clearTimeout(timer);
      if (!isOver && !document.hidden) timer = setTimeout(refresh, seconds * 1000);
    };
    // An answer that is being written is followed more closely.
    const follows = () => [...board.querySelectorAll("[data-follow]")];
    const pace = () => {
      if (follows().length) return Math.min(everySeconds, 1);
      return slowsDown ? Math.min(everySeconds * Math.max(1, quiet / 6), LONGEST_SECONDS) : everySeconds;
    };
    const ask = (address, headers) =>
      fetch(address, { headers, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(LONGEST_SECONDS * 1000) });

    const take = async (answer) => {
      exchange(await answer.text(), !("partial" in board.dataset));
      tag = answer.headers.get("ETag") || "";
      if (answer.headers.get("X-Live") !== "over") return;
      // The work has ended, and the page has more to show now.
      isOver = true;
      const whole = await ask(location.href, {});
      if (whole.ok) exchange(await whole.text(), true);
    };
    const refresh = async () => {
      if (asking || isOver || document.hidden) return;
      if (!mayAsk()) return later(everySeconds);
      asking = true;
      try {
        const answer = await ask(board.dataset.address, tag ? { "If-None-Match": tag } : {});
        if (answer.type === "opaqueredirect" || answer.status === 403) {
          isOver = true;
          onLoggedOut?.();
          return;
        }
        if (answer.status === 304) {
          quiet += 1;
        } else {
          if (!answer.ok) throw new Error(`status ${answer.status}`);
          quiet = 0;
          await take(answer);
          for (const element of follows()) element.scrollTop = element.scrollHeight;
          board.dispatchEvent(new CustomEvent("hc:exchanged", { bubbles: true }));
        }
        failures = 0;
        tellAges();
        onAnswer?.();
        later(pace());
      } catch {
        failures += 1;
        onFault?.();
        later(Math.min(everySeconds * 2 ** failures, LONGEST_SECONDS));
      } finally {
        asking = false;
      }
    };

    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return clearTimeout(timer);
      quiet = 0;
      refresh();
    });
    remember();
    tellAges();
    setInterval(tellAges, 1000);
    return { refresh, later, pause: () => clearTimeout(timer) };
  };

  // Pages that need no further polling say so in their HTML.
  document.addEventListener("DOMContentLoaded", () => {
    for (const board of document.querySelectorAll("[data-live=auto]")) {
      // Rows that move under the pointer could be selected by mistake.
      const isSelecting = () => document.querySelector('input[name="job"]:checked, .hc-menu[open]');
      window.holocronLive(board, { mayAsk: () => !isSelecting(), slowsDown: true }).later(Number(board.dataset.seconds));
    }
  });
})();

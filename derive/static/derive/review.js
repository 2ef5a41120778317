// Facts are decided by one key each: an answer brings the next fact, and replaces only this part of the page. Everything
// that is shown comes from the server as HTML; nothing is built from text here.
"use strict";

(() => {
  const page = document.querySelector("[data-review]");
  if (!page) return;
  const shown = page.querySelector("[data-review-item]");
  const problem = page.querySelector("[data-review-problem]");
  const done = page.querySelector("[data-review-notice]");
  const began = Date.now();
  const seen = [];
  const decided = [];
  let place = -1;
  let count = 0;
  let isBusy = false;

  const factId = () => shown.firstElementChild?.dataset.factId;
  const openPanel = () => shown.querySelector("[data-panel]:not([hidden])");

  function say(text, notice = "") {
    problem.textContent = text;
    problem.hidden = !text;
    done.textContent = notice;
    done.hidden = !notice;
  }

  function tally() {
    page.querySelector("[data-review-count]").textContent = String(count);
    const pace = page.querySelector("[data-review-pace]");
    const minutes = (Date.now() - began) / 60000;
    pace.hidden = count < 3;
    pace.firstElementChild.textContent = (count / Math.max(minutes, 1 / 60)).toFixed(count / minutes < 10 ? 1 : 0);
    const left = shown.firstElementChild?.dataset.left;
    if (left) page.querySelector("[data-review-left]").textContent = left;
  }

  function showQuote() {
    const mark = shown.querySelector("mark[data-facts]");
    const evidence = shown.querySelector("[data-evidence]");
    if (!mark || !evidence) return;
    for (const one of shown.querySelectorAll("mark[data-facts]")) one.classList.add("is-chosen");
    const beside = evidence.scrollHeight > evidence.clientHeight;
    if (beside) evidence.scrollTop += mark.getBoundingClientRect().top - evidence.getBoundingClientRect().top - evidence.clientHeight / 3;
  }

  function replace(html) {
    shown.innerHTML = html;
    const id = factId();
    if (id && seen[place] !== id) {
      if (seen[place + 1] === id) place += 1;
      else {
        const known = seen.indexOf(id);
        if (known >= 0) place = known;
        else {
          seen.push(id);
          place = seen.length - 1;
        }
      }
    }
    history.replaceState(null, "", id ? `#${id}` : location.pathname);
    showQuote();
    tally();
    shown.focus({ preventScroll: true });
  }

  // Sends a form's entries and shows the answer; true when it was taken.
  async function send(address, entries) {
    if (isBusy) return false;
    isBusy = true;
    say("");
    page.setAttribute("aria-busy", "true");
    try {
      const body = entries || new FormData();
      body.set("fragment", "1");
      if (!body.has("csrfmiddlewaretoken")) body.set("csrfmiddlewaretoken", shown.querySelector("[name=csrfmiddlewaretoken]").value);
      const response = await fetch(address, { method: "POST", body });
      if (response.redirected) throw new Error("You are logged out: reload the page.");
      if ((response.headers.get("Content-Type") || "").includes("json")) {
        const said = await response.json();
        if (said.notice) say("", said.notice);
        else say(said.problem || `The server answered ${response.status}.`);
        return Boolean(said.notice);
      }
      if (!response.ok && response.status !== 503) throw new Error(`The server answered ${response.status}. Reload the page.`);
      replace(await response.text());
      return response.ok;
    } catch (error) {
      say(error instanceof TypeError ? "The server did not answer; try again." : error.message);
      return false;
    } finally {
      isBusy = false;
      page.removeAttribute("aria-busy");
    }
  }

  function named(id) {
    const entries = new FormData();
    entries.set("fact_id", id);
    return entries;
  }

  async function decide(form, button) {
    const id = factId();
    const entries = new FormData(form);
    if (button?.name) entries.set(button.name, button.value);
    const reason = shown.querySelector("[data-review-decide] [name=reason]")?.value;
    if (reason && !entries.get("reason")) entries.set("reason", reason);
    if (!(await send(form.getAttribute("action"), entries)) || form.dataset.panel === "missing") return;
    decided.push(id);
    count += 1;
    tally();
  }

  // A golden case of the answer: at once if its set is known, else the set is asked for. The page stays as it is.
  async function makeGolden(form) {
    if (!form.elements.set_name.value.trim()) return open("golden");
    if (await send(form.getAttribute("action"), new FormData(form))) form.hidden = true;
  }

  async function undo() {
    const id = decided.at(-1);
    if (!id) return say("Nothing to undo: you have decided nothing since you opened this page.");
    const entries = named(id);
    entries.set("decision", "NONE");
    if (!(await send(page.dataset.decide, entries))) return;
    decided.pop();
    count = Math.max(0, count - 1);
    tally();
  }

  const following = () => (place + 1 < seen.length ? send(page.dataset.show, named(seen[place + 1])) : send(page.dataset.next));
  const previous = () => (place > 0 || !factId() ? send(page.dataset.show, named(seen[factId() ? place - 1 : place])) : say("This is the first fact that you have seen."));

  function open(name) {
    for (const panel of shown.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== name;
    const panel = openPanel();
    const field = panel?.querySelector("[name=key], [name=value], [name=set_name]");
    field?.focus();
    field?.select?.();
    panel?.scrollIntoView({ block: "nearest" });
  }

  function close() {
    for (const panel of shown.querySelectorAll("[data-panel]")) panel.hidden = true;
    say("");
    shown.focus({ preventScroll: true });
  }

  // A selection in the evidence becomes the quote of the panel that is open.
  function takeSelection() {
    const panel = openPanel();
    const selection = document.getSelection();
    if (!panel || !selection || selection.isCollapsed) return;
    const range = selection.getRangeAt(0);
    const from = range.startContainer.parentElement?.closest(".fact-text");
    const to = range.endContainer.parentElement?.closest(".fact-text");
    const text = selection.toString().trim();
    if (!from || from !== to || !text) return;
    const before = document.createRange();
    before.setStart(from, 0);
    before.setEnd(range.startContainer, range.startOffset);
    if (!panel.elements.quote) return;
    panel.elements.quote.value = text;
    panel.elements.evidence_id.value = from.closest("[data-item]").dataset.item;
    panel.elements.near.value = String(Array.from(before.toString()).length);
  }

  // The evidence by keyboard: an arrow moves by a word and selects it, with Shift the selection grows.
  function moveSelection(event) {
    const selection = document.getSelection();
    const evidence = shown.querySelector("[data-evidence]");
    const way = event.key === "ArrowRight" ? "forward" : "backward";
    if (!selection.rangeCount || !evidence.contains(selection.anchorNode)) {
      const start = evidence.querySelector("mark[data-facts]") || evidence.querySelector(".fact-text");
      if (!start) return;
      selection.collapse(start, 0);
      selection.modify("extend", "forward", "word");
    } else if (event.shiftKey) selection.modify("extend", way, "word");
    else {
      if (way === "forward") selection.collapseToEnd();
      else {
        selection.collapseToStart();
        selection.modify("move", "backward", "word");
      }
      selection.modify("extend", "forward", "word");
    }
    event.preventDefault();
  }

  document.addEventListener("selectionchange", takeSelection);

  shown.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.dataset.panel === "golden") makeGolden(form);
    else if (event.submitter && "begin" in event.submitter.dataset) send(page.dataset.next);
    else decide(form, event.submitter);
  });

  shown.addEventListener("click", (event) => {
    const button = event.target.closest("button[type=button]");
    if (!button) return;
    if (button.dataset.open) open(button.dataset.open);
    else if ("golden" in button.dataset) makeGolden(shown.querySelector("[data-panel=golden]"));
    else if ("close" in button.dataset) close();
    else if ("undo" in button.dataset) undo();
    else if ("previous" in button.dataset) previous();
    else if ("following" in button.dataset) following();
  });

  const help = page.querySelector("[data-review-help]");
  help.addEventListener("click", () => {
    const keys = document.getElementById("review-keys");
    keys.hidden = !keys.hidden;
    help.setAttribute("aria-expanded", String(!keys.hidden));
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && openPanel()) return close();
    const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
    if (isTyping) return;
    if (event.target.closest("[data-evidence]") && /^Arrow(Left|Right)$/.test(event.key)) return moveSelection(event);
    if (event.key === "Enter" && openPanel() && event.target.closest("[data-evidence]")) return openPanel().requestSubmit();
    if (openPanel() || event.repeat || isBusy) return;
    if (event.key === "?") return help.click();
    const button = shown.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (!button || !/^[a-z]$/i.test(event.key)) return;
    event.preventDefault();
    button.click();
  });

  const asked = /^#([0-9a-f-]{36})$/.exec(location.hash);
  if ("start" in page.dataset) asked ? send(page.dataset.show, named(asked[1])) : send(page.dataset.next);
  else {
    const id = factId();
    if (id) {
      seen.push(id);
      place = 0;
      showQuote();
    }
  }
})();

// Runs an action in steps and shows its progress. Without this script the server does all of it in one response.
(() => {
  "use strict";

  const make = (tag, text, name) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  };

  const refusalsAsList = (refused) => {
    const list = make("ul", undefined, "hc-refused");
    for (const [why, { count, jobs }] of refused) {
      const item = make("li", `${count.toLocaleString()} ×: ${why}`);
      for (const job of jobs) {
        item.append(make("br"));
        const link = make("a", job.short, "hc-link hc-mono");
        link.title = job.id;
        link.href = new URL(`../${encodeURIComponent(job.id)}/change/`, location.href).pathname;
        item.append(link, make("span", ` ${job.last}`, "hc-muted"));
      }
      list.append(item);
    }
    return list;
  };

  const undoForm = (form, tokens) => {
    const undo = make("form");
    undo.method = "post";
    undo.action = form.dataset.undo;
    for (const [name, value] of [["csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value], ...tokens.map((one) => ["undo", one])]) {
      const input = make("input");
      input.type = "hidden";
      input.name = name;
      input.value = value;
      undo.append(input);
    }
    undo.append(make("button", "Undo", "hc-button"));
    return undo;
  };

  const act = async (form) => {
    const report = document.querySelector("[data-act-report]");
    // Not form.action, which is the field of that name.
    const body = new FormData(form);
    const total = Number(form.dataset.count);
    const progress = make("progress");
    progress.max = Math.max(total, 1);
    progress.value = 0;
    progress.setAttribute("aria-label", "Progress");
    const line = make("p", "Working … keep this page open.");
    const stop = make("button", "Stop here", "hc-button");
    stop.type = "button";
    report.replaceChildren(progress, line, stop);
    report.hidden = false;
    form.hidden = true;

    let changed = 0;
    let seen = 0;
    let stopped = false;
    const refused = new Map();
    const tokens = [];
    stop.addEventListener("click", () => {
      stopped = true;
    });
    let problem = "";
    for (;;) {
      let answer;
      try {
        const response = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { Accept: "application/json" } });
        answer = await response.json();
        if (!response.ok) problem = answer.error || `The server answered ${response.status}.`;
      } catch {
        problem = "The server did not answer; the last step may have been done. Look at the jobs before you repeat it.";
      }
      if (answer && answer.refused) {
        changed += answer.changed;
        seen += answer.changed;
        for (const { why, count, jobs } of answer.refused) {
          const known = refused.get(why) || { count: 0, jobs };
          known.count += count;
          refused.set(why, known);
          seen += count;
        }
        if (answer.undo && answer.changed) tokens.push(answer.undo);
        if (answer.error) problem = answer.error;
      }
      progress.value = Math.min(seen, progress.max);
      line.textContent = `${seen.toLocaleString()} of ${total.toLocaleString()} ${form.dataset.did || ""} …`;
      if (problem || stopped || !answer.cursor) break;
      body.set("cursor", answer.cursor);
    }

    // If the form names a page to continue with, that page shows the result.
    const then = form.dataset.then;
    if (then && !problem && !stopped) {
      location.replace(then);
      return;
    }
    const parts = [make("p", `${changed.toLocaleString()} ${form.dataset.did || "changed"}.${stopped ? " Stopped; the rest is unchanged." : ""}`, "hc-good")];
    if (problem) parts.unshift(make("p", problem, "hc-problem"));
    if (refused.size) parts.push(make("p", "Refused:"), refusalsAsList(refused));
    const row = make("div", undefined, "hc-row");
    if (tokens.length) row.append(undoForm(form, tokens));
    const back = make("a", then ? "See progress" : form.dataset.backWords || "Back to jobs", "hc-button hc-primary");
    back.href = then || form.dataset.back || new URL("../", location.href).pathname;
    row.append(back);
    parts.push(row);
    report.replaceChildren(...parts);
    report.dataset.done = "yes";
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-act]");
    if (!form) return;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      act(form);
    });
    if ("begin" in form.dataset) act(form);
  });
})();

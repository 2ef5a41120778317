// Shows what a plan's form would do while it is being edited. Without this script it is shown once the plan is saved.
(() => {
  "use strict";

  const box = document.querySelector("[data-preview]");
  const form = box?.closest("form");
  if (!form) return;
  const PAUSE_MS = 400;
  let timer = 0;
  let asked = 0;

  const ask = async () => {
    const number = ++asked;
    try {
      const answer = await fetch(box.dataset.preview, { method: "POST", body: new FormData(form) });
      const text = await answer.text();
      // A late response does not match the form any more. The server has escaped the text.
      if (number === asked && answer.ok) box.innerHTML = text;
    } catch {
      // Temporarily unavailable; the next change asks again.
    }
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  };
  form.addEventListener("input", later);
  form.addEventListener("change", later);
})();

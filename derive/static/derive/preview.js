// Says what a plan's form would do while it is being written. Without this script it is said once it is saved.
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
      // An answer that came late is not of what stands there now. The server has escaped what it says.
      if (number === asked && answer.ok) box.innerHTML = text;
    } catch {
      // Away for a moment: the next change asks again.
    }
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  };
  form.addEventListener("input", later);
  form.addEventListener("change", later);
})();

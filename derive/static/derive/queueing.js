// Shows that the upload is being queued, which is one answer of the server. Without this script the browser says so.
(() => {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-queue]");
    if (!form) return;
    const show = (busy) => {
      form.querySelector("[data-busy]").hidden = !busy;
      form.querySelector("button[type=submit]").disabled = busy;
    };
    form.addEventListener("submit", () => show(true));
    // Who comes back with the browser's button finds the page as it was left.
    addEventListener("pageshow", () => show(false));
  });
})();

// Shows that the upload is being queued, which takes one request. Without this script the browser shows it.
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
    // Restores the page for users who return with the browser's back button.
    addEventListener("pageshow", () => show(false));
  });
})();

// Reports a file that is too large before it is sent. The server rejects it as well.
(() => {
  "use strict";

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-upload]");
    const input = form.querySelector("input[type=file]");
    const problem = form.querySelector("[data-too-large]");
    const button = form.querySelector("button[type=submit]");
    const inWords = (size) => `${(size / 1024 / 1024).toFixed(1)} MiB`;

    input.addEventListener("change", () => {
      const limit = Number(input.dataset.maxBytes);
      const size = input.files.length ? input.files[0].size : 0;
      problem.hidden = size <= limit;
      problem.textContent = size > limit ? `The file is ${inWords(size)}; the limit is ${inWords(limit)}: split it.` : "";
      button.disabled = size > limit;
    });
  });
})();

// Selecting a fact highlights its whole quote in the evidence. The offsets come from the server; nothing is built from
// text here. Without this script a fact's link leads to the beginning of its mark.
"use strict";

(() => {
  function choose(fact) {
    for (const other of document.querySelectorAll("[data-fact]")) {
      if (other === fact) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    let first = null;
    for (const mark of document.querySelectorAll("mark[data-facts]")) {
      const isChosen = mark.dataset.facts.split(" ").includes(fact.dataset.fact);
      mark.classList.toggle("is-chosen", isChosen);
      if (isChosen && first === null) first = mark;
    }
    if (first !== null) first.scrollIntoView({ block: "nearest" });
  }

  // Registered on the document, because an answer may arrive while the page is open.
  document.addEventListener("click", (event) => {
    const fact = event.target.closest("[data-fact]");
    if (!fact || event.ctrlKey || event.metaKey || event.shiftKey) return;
    // The link would scroll the page as well as the evidence; the URL still reflects the selection.
    event.preventDefault();
    history.replaceState(null, "", fact.hash);
    choose(fact);
  });

  const named = /^#(?:mark|fact)-([0-9]+)$/.exec(location.hash);
  const chosen = named && document.querySelector(`[data-fact="${named[1]}"]`);
  if (chosen) choose(chosen);
})();

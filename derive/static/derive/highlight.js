// Choosing a fact marks its quote in the evidence. The offsets come from the server; nothing is built from text here.
"use strict";

(() => {
  const facts = document.querySelectorAll("[data-fact]");
  const marks = document.querySelectorAll("[data-facts]");

  function choose(fact) {
    for (const other of facts) other.setAttribute("aria-pressed", String(other === fact));
    let first = null;
    for (const mark of marks) {
      const isChosen = mark.dataset.facts.split(" ").includes(fact.dataset.fact);
      mark.classList.toggle("is-chosen", isChosen);
      if (isChosen && first === null) first = mark;
    }
    if (first !== null) first.scrollIntoView({ block: "nearest" });
  }

  for (const fact of facts) fact.addEventListener("click", () => choose(fact));
})();

// Small aids for the pages: the viewer's time zone, times, selections. Everything works without it.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const known = document.cookie.split("; ").find((one) => one.startsWith("holocron_zone="));
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `holocron_zone=${zone}; path=/; max-age=31536000; SameSite=Lax${secure}`;
    window.holocronZoneIsNew = !known;
  }

  const pad = (number) => String(number).padStart(2, "0");

  // The server renders times in the zone from the cookie, which the very first page does not have.
  const localTimes = () => {
    if (!window.holocronZoneIsNew) return;
    for (const element of document.querySelectorAll("time[datetime]:not([data-age])")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      element.textContent =
        `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ` +
        `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
    }
  };

  // A time is read in the zone shown next to it. The page may have been rendered in a zone other than the browser's, for
  // the very first request or after travelling. Text that was typed already keeps its zone.
  const typedTimes = () => {
    for (const field of document.querySelectorAll("[data-when]")) {
      const input = field.querySelector("input[type=datetime-local]");
      const said = field.querySelector("input[type=hidden]");
      if (zone && !input.value) said.value = field.querySelector("[data-when-zone]").textContent = zone;
      if (said.value !== zone) continue;
      const tell = () => {
        const at = input.value ? new Date(input.value) : new Date();
        if (Number.isNaN(at.getTime())) return;
        const utc = at.toISOString().slice(0, 16).replace("T", " ");
        field.querySelector("[data-when-utc]").textContent = input.value ? `${utc} UTC` : `now ${utc} UTC`;
      };
      input.addEventListener("input", tell);
      tell();
    }
  };

  // Looked up each time, because rows may be replaced while the page is open.
  const selections = () => {
    const form = document.getElementById("hc-act");
    if (!form) return;
    const boxes = () => [...document.querySelectorAll('input[name="job"]')];
    const tell = () => {
      const chosen = boxes().filter((box) => box.checked).length;
      const all = document.querySelector("[data-check-all]");
      if (all) {
        all.checked = chosen > 0 && chosen === boxes().length;
        all.indeterminate = chosen > 0 && !all.checked;
      }
      for (const element of document.querySelectorAll("[data-chosen]")) element.textContent = String(chosen);
      form.querySelector("button[type=submit]").disabled = !chosen && form.elements.scope.value === "selected";
    };
    document.addEventListener("change", (event) => {
      if (event.target.matches("[data-check-all]")) {
        for (const box of boxes()) box.checked = event.target.checked;
      }
      tell();
    });
    document.addEventListener("hc:exchanged", tell);
    addEventListener("pageshow", tell);
    tell();
  };

  // Unfold writes the chosen file's name into a text field next to its own file fields; ours have none.
  const fileFields = () => {
    for (const input of document.querySelectorAll(".hc-field input[type=file]")) input.hasChangeListener = true;
  };

  // Icons are ligatures of their names, which screen readers would read before the text next to them.
  const silentIcons = () => {
    for (const icon of document.querySelectorAll("#nav-sidebar-apps .material-symbols-outlined")) {
      icon.setAttribute("aria-hidden", "true");
    }
  };

  // A menu opens with its first field focused, and closes by Escape or a click elsewhere.
  const menus = () => {
    for (const menu of document.querySelectorAll("details.hc-menu")) {
      menu.addEventListener("toggle", () => {
        if (menu.open) menu.querySelector("input:not([type=hidden])")?.focus();
      });
      menu.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !menu.open) return;
        menu.open = false;
        menu.querySelector("summary").focus();
      });
    }
    document.addEventListener("click", (event) => {
      for (const menu of document.querySelectorAll("details.hc-menu[open]")) {
        if (!menu.contains(event.target)) menu.open = false;
      }
    });
  };

  // Copies the command beside the button; where the browser does not let it, the text is selected instead.
  const copies = () => {
    document.addEventListener("click", async (event) => {
      const button = event.target.closest("[data-copy]");
      if (!button) return;
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
      }
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    copies();
    menus();
    silentIcons();
    fileFields();
    localTimes();
    typedTimes();
    selections();
  });
})();

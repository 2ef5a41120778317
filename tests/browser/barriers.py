"""What keeps somebody from using a page, as axe-core finds it, and as a phone shows it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

THEMES = ("light", "dark")
_AS_IT_IS = ("",)
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
_SCRIPT = Axe().axe_script
_MEASURED: set[str] = set()
"""The looks of text whose contrast was measured in this process, on whatever page.

The contrast of text follows from the styles of its element and of all around that: it is measured once for each.
"""

_RUN = """
async ({without, rules, themes, measured}) => {
  const options = {resultTypes: ["violations"], preload: false};
  const hash = (text) => {
    let a = 0xdeadbeef, b = 0x41c6ce57;
    for (let at = 0; at < text.length; at++) {
      a = Math.imul(a ^ text.charCodeAt(at), 2654435761);
      b = Math.imul(b ^ text.charCodeAt(at), 1597334677);
    }
    return (a >>> 0).toString(36) + (b >>> 0).toString(36);
  };
  const showsText = (one) => one.checkVisibility() && (one.matches("input, select, textarea")
    || [...one.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim()));
  const newLooks = (known) => {
    const looks = new Map([[null, ""]]), found = new Map();
    const look = (one) => {
      if (!looks.has(one)) {
        const style = getComputedStyle(one);
        looks.set(one, hash([look(one.parentElement), one.localName, style.color, style.backgroundColor,
          style.backgroundImage, style.opacity, style.filter, style.mixBlendMode, style.textShadow, style.fontSize,
          style.fontWeight, style.position, one.matches(":disabled")].join()));
      }
      return looks.get(one);
    };
    for (const one of document.body.querySelectorAll("*")) {
      if (showsText(one) && !known.has(look(one)) && !found.has(look(one))) found.set(look(one), one);
    }
    return found;
  };

  const known = new Set(measured), told = [];
  const {violations} = await axe.run({exclude: [without]},
    {...options, runOnly: rules, rules: {"color-contrast": {enabled: false}}});
  told.push(...violations);
  for (const theme of themes) {
    if (theme) document.documentElement.classList.toggle("dark", theme === "dark");
    const found = newLooks(known);
    if (found.size) {
      const {violations} = await axe.run({include: [...found.values()]}, {...options, runOnly: ["color-contrast"]});
      told.push(...violations.map((one) => ({...one, help: `${one.help} ${theme}`})));
      for (const look of found.keys()) known.add(look);
    }
  }
  return [told.map((one) => [one.id, one.help, one.nodes.slice(0, 4).map((node) => node.html.slice(0, 200))]),
    [...known]];
}
"""

_TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > window.innerWidth)
  .slice(-3).map((one) => one.outerHTML.slice(0, 200))"""


_CUT_OFF_ERRORS = """[...document.querySelectorAll(".hc-scroll .hc-error")]
  .filter((one) => one.getBoundingClientRect().right > one.closest(".hc-scroll").getBoundingClientRect().right + 1)
  .slice(0, 2).map((one) => one.outerHTML.slice(0, 200))"""


def barriers(page: Page, *, themes: tuple[str, ...] = _AS_IT_IS, without: str = "nothing") -> list[str]:
    """Return a line for each rule that the page breaks, with where it does; and whether it scrolls sideways.

    The page is left in the last of ``themes``, by default in the one it has. ``without`` is a selector of what was
    looked at before and is the same on every page.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT)
    asked = {"without": without, "rules": _RULES, "themes": themes, "measured": [*_MEASURED]}
    found, measured = page.evaluate(_RUN, asked)
    _MEASURED.update(measured)
    return [*(f"{rule}: {what}: {where}" for rule, what, where in found), *cut_off(page)]


def cut_off(page: Page) -> list[str]:
    """Return a line if the page scrolls sideways, and one if the errors in a list cannot be read without scrolling."""
    told = []
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        told.append(f"the page scrolls sideways: {page.evaluate(_TOO_WIDE)}")
    if errors := page.evaluate(_CUT_OFF_ERRORS):
        told.append(f"errors are cut off: {errors}")
    return told

// Runs before the first paint, so that a chosen theme does not flash the other one. "system" leaves the choice to the browser.
(() => {
  let chosen = "system";
  try {
    chosen = localStorage.getItem("theme") ?? "system";
  } catch {
    // Storage may be forbidden; the page then follows the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();

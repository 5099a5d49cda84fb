// Asks how far reading is, and goes to the page when it is there. Without this script the page reloads by itself.
"use strict";
(() => {
  const box = document.querySelector("[data-progress]");
  if (!box) return;
  const part = (name) => box.querySelector(`[data-${name}]`);
  const ask = async () => {
    try {
      const reply = await fetch(box.dataset.progress, { headers: { Accept: "application/json" } });
      const told = reply.ok ? await reply.json() : { state: "failed" };
      if (told.state !== "loading") {
        location.replace(box.dataset.next);
        return;
      }
      if (part("words").textContent !== told.words) part("words").textContent = told.words;
      part("bar").value = told.percent;
      part("seconds").textContent = String(told.seconds);
    } catch {
      part("words").textContent = "No connection to the service; trying again";
    }
    setTimeout(ask, 400);
  };
  setTimeout(ask, 300);
})();

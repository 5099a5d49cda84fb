// What scripts add to a page that is whole without them: what-if without a reload, charts that can be read off and
// zoomed (uPlot, from the numbers of the table beside each), menus that close, the part of the page one is in.
"use strict";
(() => {
  // --- what-if -------------------------------------------------------------------------------------
  const form = document.querySelector("[data-whatif]");
  const answer = document.getElementById("answer");
  const compare = async (event) => {
    event.preventDefault();
    const data = new URLSearchParams(new FormData(form));
    if (event.submitter && event.submitter.name) data.set(event.submitter.name, event.submitter.value);
    answer.classList.add("busy");
    try {
      const reply = await fetch(form.action, { method: "POST", body: data, headers: { "X-Fragment": "1", Accept: "text/html" } });
      if (reply.status !== 200 && reply.status !== 400) throw new Error(String(reply.status));
      answer.innerHTML = await reply.text();
      const heading = document.getElementById("h-answer");
      if (heading) heading.focus({ preventScroll: true });
      const place = answer.getBoundingClientRect();
      if (place.top < 0 || place.top > innerHeight * 0.7) answer.scrollIntoView({ block: "start" });
    } catch {
      form.submit(); // the plain way tells what is wrong
    } finally {
      answer.classList.remove("busy");
    }
  };
  if (form && answer) {
    form.addEventListener("submit", compare);
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      for (const select of form.querySelectorAll("fieldset select")) select.value = "";
      answer.replaceChildren(Object.assign(document.createElement("p"), { className: "soft empty", textContent: "The comparison appears here." }));
    });
  }

  // --- menus ---------------------------------------------------------------------------------------
  const close = (except) => {
    for (const open of document.querySelectorAll("details.pop[open]")) if (open !== except) open.open = false;
  };
  document.addEventListener("keydown", (event) => {
    const open = document.activeElement && document.activeElement.closest("details.pop[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });
  // Nothing that is open lies over what the keyboard has gone on to; what was typed stays in it.
  document.addEventListener("focusin", (event) => close(event.target.closest("details.pop")));
  document.addEventListener("click", (event) => {
    const summary = event.target.closest("details.pop > summary");
    if (summary) close(summary.parentElement);
  });

  // --- the part one is in --------------------------------------------------------------------------
  const links = new Map([...document.querySelectorAll(".sections a")].map((a) => [a.hash.slice(1), a]));
  if (links.size && "IntersectionObserver" in window) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || !links.has(entry.target.id)) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-25% 0px -65% 0px" });
    for (const id of links.keys()) {
      const part = document.getElementById(id);
      if (part) seen.observe(part);
    }
  }

  // --- charts --------------------------------------------------------------------------------------
  // In forced colours a canvas keeps colours of its own; the SVG takes the user's.
  if (typeof uPlot === "undefined" || matchMedia("(forced-colors: active)").matches) return;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const day = new Intl.DateTimeFormat("en", { year: "numeric", month: "short", day: "numeric" });
  const month = new Intl.DateTimeFormat("en", { year: "numeric", month: "short" });
  const short = (value) => (value == null ? "" : String(Number(value.toPrecision(3))));

  const numbers = (box) => {
    const rows = (id) => [...document.querySelectorAll(`#${CSS.escape(id)} tr[data-t]`)].map((row) => row.dataset);
    const id = box.dataset.plot;
    const all = [...rows(id), ...rows(`${id}-course`)];
    const times = [...new Set(all.map((row) => Number(row.t)))].sort((a, b) => a - b);
    const at = new Map(times.map((time, i) => [time, i]));
    const column = () => new Array(times.length).fill(null);
    const data = { past: column(), pastHigh: column(), pastLow: column(), ahead: column(), aheadHigh: column(), aheadLow: column(), dot: column(), ring: column(), square: column(), cross: column() };
    for (const row of all) {
      const i = at.get(Number(row.t));
      if (row.kind === "seen") data[row.shape][i] = Number(row.v);
      else {
        data[row.kind][i] = Number(row.v);
        data[`${row.kind}High`][i] = Number(row.h);
        data[`${row.kind}Low`][i] = Number(row.l);
      }
    }
    return [times, ...Object.values(data)];
  };

  const draw = (box) => {
    const data = numbers(box);
    if (data[0].length < 2) return;
    const accent = css("--accent"), ink = css("--ink"), soft = css("--soft");
    const high = box.dataset.high === undefined ? null : Number(box.dataset.high);
    const low = box.dataset.low === undefined ? null : Number(box.dataset.low);
    const now = Number(box.dataset.now);
    const readout = Object.assign(document.createElement("p"), { className: "readout" });
    const rest = "Point at the chart to read it off; drag to zoom, double-click to see all.";
    readout.textContent = rest;
    const line = (dash) => ({ stroke: accent, width: 2, dash, spanGaps: true, points: { show: false } });
    const edge = { stroke: "transparent", width: 0, spanGaps: true, points: { show: false } };
    const dots = (fill, stroke, size, width) => ({ stroke, width: 0, paths: () => null, points: { show: true, size, fill, stroke, width } });
    const cross = (u, series) => {
      const { ctx } = u, r = 3.5 * devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = "#6b7885";
      ctx.lineWidth = 1.7 * devicePixelRatio;
      u.data[series].forEach((value, i) => {
        if (value == null || u.data[0][i] < u.scales.x.min || u.data[0][i] > u.scales.x.max) return;
        const x = u.valToPos(u.data[0][i], "x", true), y = u.valToPos(value, "y", true);
        ctx.beginPath();
        ctx.moveTo(x - r, y - r);
        ctx.lineTo(x + r, y + r);
        ctx.moveTo(x - r, y + r);
        ctx.lineTo(x + r, y - r);
        ctx.stroke();
      });
      ctx.restore();
    };
    const axis = { stroke: soft, font: "11px system-ui, sans-serif", grid: { stroke: "#e3e9ee", width: 1 }, ticks: { stroke: "#b9c4ce", width: 1, size: 4 } };
    const target = (u) => {
      const { ctx, bbox } = u, edges = [high, low].filter((v) => v !== null);
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      if (edges.length) {
        const top = high === null ? bbox.top : u.valToPos(high, "y", true);
        const bottom = low === null ? bbox.top + bbox.height : u.valToPos(low, "y", true);
        ctx.fillStyle = "rgb(220 239 223 / 60%)";
        ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
        ctx.strokeStyle = "#3c8a5a";
        ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
        for (const value of edges) {
          const y = u.valToPos(value, "y", true);
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
        }
      }
      const x = u.valToPos(now, "x", true);
      ctx.strokeStyle = "#8291a0";
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    };
    const tell = (u) => {
      const i = u.cursor.idx;
      if (i == null) {
        readout.textContent = rest;
        return;
      }
      const [t, past, pastHigh, pastLow, ahead, aheadHigh, aheadLow, dot, ring, square, crossed] = u.data.map((c) => c[i]);
      const parts = [day.format(new Date(t * 1000))];
      for (const [value, words] of [[dot, "observed"], [ring, "at home"], [square, "in hospital"], [crossed, "not used"]]) {
        if (value != null) parts.push(`${words} ${short(value)}`);
      }
      if (ahead != null) parts.push(`forecast ${short(ahead)} (${short(aheadLow)} to ${short(aheadHigh)})`);
      else if (past != null) parts.push(`usual ${short(past)} (${short(pastLow)} to ${short(pastHigh)})`);
      readout.textContent = `${parts[0]}: ${parts.slice(1).join(", ")} ${box.dataset.unit}`;
    };
    const label = (t) => {
      const when = new Date(t * 1000);
      return when.getMonth() === 0 ? String(when.getFullYear()) : month.format(when);
    };
    const height = () => Math.max(170, Math.min(230, Math.round(box.clientWidth * 0.4)));
    const plot = new uPlot({
      width: box.clientWidth, height: height(), legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { size: 8 } },
      scales: { x: { time: true, range: (u, min, max) => [min - 0.02 * (max - min), max + 0.02 * (max - min)] } },
      axes: [{ ...axis, space: 70, size: 32, values: (u, splits) => splits.map(label) }, { ...axis, size: 46, space: 34 }],
      series: [{}, line(), edge, edge, line([6, 4]), edge, edge, dots(ink, "#fff", 8, 1), dots("#fff", ink, 8, 1.8), dots(ink, ink, 6, 1), { ...edge, paths: () => null }],
      bands: [{ series: [2, 3], fill: "rgb(190 214 238 / 65%)" }, { series: [5, 6], fill: "rgb(190 214 238 / 38%)" }],
      hooks: { drawClear: [target], draw: [(u) => cross(u, 10)], setCursor: [tell] },
    }, data, box);
    plot.root.setAttribute("aria-hidden", "true"); // the SVG and the table say the same to screen readers
    box.append(readout);
    box.classList.add("live");
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: height() })).observe(box);
  };

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const box of document.querySelectorAll("[data-plot]")) near.observe(box);
})();

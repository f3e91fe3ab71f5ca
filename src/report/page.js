(() => {
  "use strict";
  const map = document.getElementById("map");
  const tiles = [...map.querySelectorAll(".tile")];
  const cards = [...document.querySelectorAll("li[data-tile]")];
  const text = document.getElementById("text");
  const least = document.getElementById("least");
  const all = document.getElementById("all");
  const by = document.getElementById("by"); // the question that colours the map; null where none was asked
  const answer = document.getElementById("answer");
  const asked = () => (by && by.value !== "" ? by.value : null);
  const answerOf = (card) => (asked() === null ? undefined : card.dataset[`answer${asked()}`]);
  const said = (card) => [...card.querySelectorAll(".caption, .answer b, dd")].map((each) => each.textContent);
  const words = cards.map((card) => said(card).join(" ").toLowerCase());
  // The confidence of what colours the map: of the answer, or of the caption; undefined where a tile has none.
  const sureOf = (card) => card.dataset[asked() === null ? "confidence" : `sure${asked()}`];

  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const limit = Number(least.value) / 100;
    document.getElementById("least-shown").textContent = `${least.value} %`;
    let shown = 0;
    cards.forEach((card, number) => {
      const captioned = card.classList.contains("captioned");
      const sure = captioned ? Number(sureOf(card) ?? 0) >= limit : all.checked;
      const fits = asked() === null || answer.value === "" || `=${answerOf(card)}` === answer.value;
      const keep = sure && fits && wanted.every((word) => words[number].includes(word));
      card.hidden = !keep;
      // Skipped and failed tiles stay on the map unless a filter is set.
      const quiet = !captioned && wanted.length === 0 && (asked() === null || answer.value === "");
      tiles[number].classList.toggle("out", !keep && !quiet);
      shown += keep ? 1 : 0;
    });
    document.getElementById("shown").textContent = `${shown} of ${cards.length} tiles`;
    document.getElementById("none").hidden = shown > 0;
  };

  // Colours that are told apart also by those who see fewer of them (Okabe and Ito).
  const known = { yes: "#e69f00", no: "#56b4e9", "not sure": "#9aa0a4" };
  const palette = ["#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2"];
  const rest = "#b9bdc0";
  const histogram = () => {
    const bars = document.getElementById("bars");
    const slots = bars.viewBox.baseVal.width;
    const counts = new Array(slots).fill(0);
    cards.forEach((card) => {
      const sure = sureOf(card);
      if (sure !== undefined) counts[Math.min(Math.floor(Number(sure) * slots), slots - 1)] += 1;
    });
    const tallest = Math.max(1, ...counts);
    bars.replaceChildren(...counts.map((count, slot) => {
      const bar = document.createElementNS(bars.namespaceURI, "rect");
      const height = (bars.viewBox.baseVal.height * count) / tallest;
      const box = { x: slot + 0.1, y: bars.viewBox.baseVal.height - height, width: 0.8, height };
      Object.entries(box).forEach(([name, value]) => bar.setAttribute(name, value));
      return bar;
    }));
    document.getElementById("sure-of").textContent = asked() === null ? "caption" : "answer";
  };
  const ramp = document.getElementById("colors").cloneNode(true);
  const paint = () => {
    const counts = new Map();
    cards.forEach((card) => {
      const given = answerOf(card);
      if (given !== undefined) counts.set(given, (counts.get(given) ?? 0) + 1);
    });
    const order = [...counts].sort((first, second) => second[1] - first[1]);
    const colors = new Map();
    const free = [...palette];
    order.forEach(([given]) => colors.set(given, Object.hasOwn(known, given) ? known[given] : free.shift() ?? rest));
    tiles.forEach((tile, number) => {
      const given = answerOf(cards[number]);
      tile.classList.toggle("answered", given !== undefined);
      tile.style.setProperty("--answer", colors.get(given) ?? "transparent");
      tile.style.setProperty("--sure", sureOf(cards[number]) ?? "0");
      cards[number].style.setProperty("--answer", colors.get(given) ?? "transparent");
      cards[number].querySelectorAll(".answer").forEach((line) => line.classList.toggle("coloured", line.dataset.asked === asked()));
    });
    const legend = document.getElementById("colors");
    legend.replaceChildren(...(asked() === null ? ramp.cloneNode(true).childNodes : []));
    order.slice(0, 8).forEach(([given, count]) => {
      const key = document.createElement("span");
      key.className = "swatch";
      key.style.background = colors.get(given);
      const name = document.createElement("bdi");
      name.textContent = given;
      legend.append(key, " ", name, ` (${count}) `);
    });
    histogram();
    if (!by) return;
    answer.replaceChildren(new Option("any", ""));
    order.forEach(([given, count]) => answer.append(new Option(`${given} (${count})`, `=${given}`)));
    answer.disabled = asked() === null;
  };

  const choose = (number, scroll) => {
    document.querySelectorAll(".chosen").forEach((each) => each.classList.remove("chosen"));
    const tile = tiles[number];
    tile.classList.add("chosen");
    tile.parentNode.append(tile); // on top of its neighbours
    const card = cards[number];
    if (card.hidden) {
      text.value = "";
      least.value = 0;
      if (answer) answer.value = "";
      all.checked = true;
      filter();
    }
    card.classList.add("chosen");
    if (!scroll) return;
    // Cards get their heights when they come into sight, so the second time it is the right place.
    card.scrollIntoView({ block: "center" });
    requestAnimationFrame(() => card.scrollIntoView({ block: "center" }));
  };

  cards.forEach((card, number) => {
    card.addEventListener("click", () => choose(number, false));
    card.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === card) choose(number, false);
    });
  });
  if (by) {
    by.addEventListener("input", () => {
      paint();
      filter();
    });
  }
  document.getElementById("filter").addEventListener("input", filter);
  document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());

  // The view: a part of the scene in pixels.
  const whole = { ...box(map.viewBox.baseVal) };
  let view = { ...whole };
  function box({ x, y, width, height }) {
    return { x, y, width, height };
  }
  const show = () => {
    view.x = Math.min(Math.max(view.x, 0), whole.width - view.width);
    view.y = Math.min(Math.max(view.y, 0), whole.height - view.height);
    map.classList.toggle("zoomed", view.width < whole.width);
    map.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  };
  const zoom = (factor, at) => {
    const width = Math.min(whole.width, Math.max(whole.width / 64, view.width * factor));
    const height = (width * whole.height) / whole.width;
    const point = at ?? { x: view.x + view.width / 2, y: view.y + view.height / 2 };
    const share = { x: (point.x - view.x) / view.width, y: (point.y - view.y) / view.height };
    view = { x: point.x - share.x * width, y: point.y - share.y * height, width, height };
    show();
  };
  const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  document.querySelectorAll("[data-zoom]").forEach((button) => {
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      if (factor === 0) {
        view = { ...whole };
        show();
      } else zoom(factor);
    });
  });
  map.addEventListener("wheel", (event) => {
    // Where there is nothing to zoom out of, the wheel moves the page.
    if (event.deltaY > 0 && view.width >= whole.width) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.8 : 1.25, place(event));
  }, { passive: false });

  const pointers = new Map();
  let moved = 0;
  map.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) moved = 0;
  });
  map.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const scale = 1 / map.getScreenCTM().a;
    if (pointers.size === 1) {
      moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
      view.x -= (event.clientX - before.clientX) * scale;
      view.y -= (event.clientY - before.clientY) * scale;
      map.classList.toggle("dragged", moved > 5);
      show();
    } else {
      const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
      const apart = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
      moved = 100;
      zoom(apart(before) / Math.max(apart(event), 1), place(other));
    }
    pointers.set(event.pointerId, event);
  });
  // One finger moves the page while the whole scene is shown (page.css); two always zoom the map.
  map.addEventListener("touchmove", (event) => {
    if (event.touches.length > 1) event.preventDefault();
  }, { passive: false });
  const release = (event) => {
    pointers.delete(event.pointerId);
    map.classList.remove("dragged");
  };
  window.addEventListener("pointerup", release);
  window.addEventListener("pointercancel", release);
  map.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (tile && moved < 6) choose(Number(tile.dataset.tile), true);
  });

  // On paper the whole scene is wanted.
  window.addEventListener("beforeprint", () => {
    view = { ...whole };
    show();
  });

  // On a telephone captions come first.
  document.getElementById("filters").open = !matchMedia("(max-width: 52rem)").matches;
  paint();
  filter();
})();

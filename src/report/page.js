(() => {
  "use strict";
  const map = document.getElementById("map");
  const tiles = [...map.querySelectorAll(".tile")];
  const cards = [...document.querySelectorAll("li[data-tile]")];
  const text = document.getElementById("text");
  const least = document.getElementById("least");
  const all = document.getElementById("all");
  const said = (card) => [...card.querySelectorAll(".caption, dd")].map((each) => each.textContent);
  const words = cards.map((card) => said(card).join(" ").toLowerCase());

  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const limit = Number(least.value) / 100;
    document.getElementById("least-shown").textContent = `${least.value} %`;
    let shown = 0;
    cards.forEach((card, number) => {
      const captioned = card.classList.contains("captioned");
      const sure = captioned ? Number(card.dataset.confidence) >= limit : all.checked;
      const keep = sure && wanted.every((word) => words[number].includes(word));
      card.hidden = !keep;
      // Skipped and failed tiles stay on the map unless a filter is set.
      const quiet = !captioned && wanted.length === 0;
      tiles[number].classList.toggle("out", !keep && !quiet);
      shown += keep ? 1 : 0;
    });
    document.getElementById("shown").textContent = `${shown} of ${cards.length} tiles`;
    document.getElementById("none").hidden = shown > 0;
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
      all.checked = true;
      filter();
    }
    card.classList.add("chosen");
    if (scroll) card.scrollIntoView({ block: "center", behavior: "smooth" });
  };

  cards.forEach((card, number) => {
    card.addEventListener("click", () => choose(number, false));
    card.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target === card) choose(number, false);
    });
  });
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

  filter();
})();

"use strict";
// Magnifies and moves all images of a field of view together. Without it the page is whole.
(() => {
  const MOST = 32; // times
  const STEP = 1.25;
  const BARS = [5, 2, 1];
  const WIDEST_BAR = 0.3; // of a view

  function scaleBar(nm) {
    const power = 10 ** Math.floor(Math.log10(WIDEST_BAR * nm));
    const length = BARS.map((f) => f * power).find((l) => l <= WIDEST_BAR * nm * (1 + 1e-9)) || power;
    const round = (value) => String(Number(value.toPrecision(3)));
    const label = length < 1000 ? `${round(length)} nm` : `${round(length / 1000)} µm`;
    return { percent: (100 * length) / nm, label };
  }

  function link(group) {
    const views = [...group.querySelectorAll(".view.whole")];
    const reset = group.querySelector("button.reset");
    const panels = group.querySelector(".panels");
    const fingers = new Map(); // pointers that are down, at their last places
    let scale = 1, left = 0, top = 0; // the part shown begins at these shares of the image
    let ready = false; // whether the wheel is meant for the image, and not for the page

    function show() {
      const most = 1 - 1 / scale;
      left = Math.min(Math.max(left, 0), most);
      top = Math.min(Math.max(top, 0), most);
      for (const view of views) {
        const stage = view.querySelector(".stage"), image = view.querySelector("img");
        stage.style.transform =
          `translate(${-100 * left * scale}%, ${-100 * top * scale}%) scale(${scale})`;
        stage.style.setProperty("--zoom", scale);
        view.classList.toggle("pixels", scale * view.clientWidth > 2 * image.naturalWidth);
        const bar = view.querySelector(".bar");
        if (bar) {
          const { percent, label } = scaleBar(Number(view.dataset.nm) / scale);
          bar.style.width = `${percent}%`;
          bar.firstElementChild.textContent = label;
        }
      }
      reset.hidden = scale === 1;
      reset.textContent = `Whole images (now ${scale.toFixed(1)} ×)`;
      panels.classList.toggle("zoomed", scale > 1);
    }

    function zoom(factor, x = 0.5, y = 0.5) { // about a place in the view, in shares of it
      const next = Math.min(Math.max(scale * factor, 1), MOST);
      left += x / scale - x / next;
      top += y / scale - y / next;
      scale = next < 1.001 ? 1 : next;
      show();
    }

    function back() { scale = 1; left = top = 0; show(); }

    function place(event, view) {
      const box = view.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    function move(event, view) {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event, view);
      const other = [...fingers].find(([id]) => id !== event.pointerId);
      if (other) { // two fingers: about their middle
        const span = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1e-6;
        const middle = [0, 1].map((i) => (now[i] + other[1][i]) / 2);
        left -= (now[0] - before[0]) / 2 / scale;
        top -= (now[1] - before[1]) / 2 / scale;
        zoom(span(now, other[1]) / span(before, other[1]), ...middle);
      } else {
        left -= (now[0] - before[0]) / scale;
        top -= (now[1] - before[1]) / scale;
        show();
      }
      fingers.set(event.pointerId, now);
    }

    for (const view of views) {
      view.addEventListener("wheel", (event) => {
        const closer = event.deltaY < 0;
        if (!event.ctrlKey && (!ready || (!closer && scale === 1))) return; // the page scrolls on
        event.preventDefault();
        zoom(closer ? STEP : 1 / STEP, ...place(event, view));
      }, { passive: false });
      view.addEventListener("dblclick", (event) => {
        event.preventDefault();
        if (event.shiftKey || scale === MOST) back();
        else zoom(2, ...place(event, view));
      });
      view.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || fingers.size === 2) return;
        fingers.set(event.pointerId, place(event, view));
        if (scale > 1 || fingers.size === 2) view.setPointerCapture(event.pointerId);
      });
      view.addEventListener("pointermove", (event) => {
        // a browser also tells of a pointer that lies still while the page moves below it
        if (event.movementX || event.movementY) ready = true;
        move(event, view);
      });
      for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
        view.addEventListener(end, (event) => fingers.delete(event.pointerId));
      }
      view.addEventListener("dragstart", (event) => event.preventDefault());
    }
    window.addEventListener("scroll", () => { ready = false; }, { passive: true });

    panels.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const aside = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key === "+" || event.key === "=") zoom(STEP);
      else if (event.key === "-") zoom(1 / STEP);
      else if (event.key === "0" || event.key === "Escape") back();
      else if (aside[event.key] && scale > 1) {
        left += (0.1 * aside[event.key][0]) / scale;
        top += (0.1 * aside[event.key][1]) / scale;
        show();
      } else return;
      event.preventDefault();
    });
    panels.tabIndex = 0;
    reset.addEventListener("click", () => { back(); panels.focus({ preventScroll: true }); });
  }

  document.querySelectorAll("section.fov").forEach(link);
  let opened = [];  // paper has nothing to click on
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((details) => { details.open = false; });
  });
  document.querySelectorAll(".needs-script").forEach((hint) => { hint.hidden = false; });
})();

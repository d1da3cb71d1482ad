"use strict";
(() => {
  const plots = Array.from(document.querySelectorAll(".plot"));
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const heights = new Map();
  const narrow = window.matchMedia("(max-width: 640px)");
  const fitOne = (plot) => {
    const change = plot.layout.meta?.[narrow.matches ? "narrow" : "wide"];
    if (!change) return;
    plot.style.minHeight = `${change.height}px`;
    Plotly.relayout(plot, { ...change });
  };
  const draw = (plot) => {
    if (heights.has(plot)) return;
    const figure = JSON.parse(plot.querySelector("script").textContent);
    plot.textContent = "";
    heights.set(plot, figure.layout.height);
    Plotly.newPlot(plot, { data: figure.data, layout: figure.layout, frames: figure.frames, config });
    if (figure.frames) {
      // the slider is drawn, not an element: arrow keys move it for those who cannot drag
      let going = null; // where the last key leads, until the plot is there
      plot.tabIndex = 0;
      plot.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!by) return;
        event.preventDefault();
        const { active, steps } = plot.layout.sliders[0];
        const next = Math.min(Math.max((going ?? active) + by, 0), steps.length - 1);
        const arrived = () => { if (going === next) going = null; };
        going = next;
        Plotly.animate(plot, ...steps[next].args).then(arrived, arrived);
      });
    }
    if (narrow.matches) fitOne(plot);
  };
  // a plot in a part that is folded is drawn when that is unfolded: there may be hundreds
  for (const plot of plots) {
    const part = plot.closest("details:not([open])");
    if (part) part.addEventListener("toggle", () => { if (part.open) draw(plot); });
    else draw(plot);
  }
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    if (target?.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", unfold);
  unfold();
  // panels: fewer in a row where the window is narrow
  narrow.addEventListener("change", () => { for (const plot of heights.keys()) fitOne(plot); });
  // paper is narrower than most windows, and a plot on it cannot be unfolded
  const PAPER = { width: 640, height: 370 };
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    for (const part of folded) part.open = true;
    for (const plot of plots) {
      draw(plot);
      const wide = plot.layout.meta?.wide;
      Plotly.relayout(plot, wide ? { ...wide, width: PAPER.width, height: 0.8 * wide.height } : PAPER);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const part of folded) part.open = false;
    for (const plot of plots) {
      Plotly.relayout(plot, { width: null, height: heights.get(plot), autosize: true });
      fitOne(plot);
    }
  });
})();

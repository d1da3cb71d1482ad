"use strict";
(() => {
  const plots = Array.from(document.querySelectorAll(".plot"));
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  for (const plot of plots) {
    const figure = JSON.parse(plot.querySelector("script").textContent);
    plot.textContent = "";
    Plotly.newPlot(plot, figure.data, figure.layout, config);
  }
  // paper is narrower than most windows, and a plot on it cannot be unfolded
  const PAPER = { width: 640, height: 370 };
  const heights = plots.map((plot) => plot.layout.height);
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    for (const part of folded) part.open = true;
    for (const plot of plots) Plotly.relayout(plot, PAPER);
  });
  window.addEventListener("afterprint", () => {
    for (const part of folded) part.open = false;
    plots.forEach((plot, index) => Plotly.relayout(plot, { width: null, height: heights[index], autosize: true }));
  });
})();

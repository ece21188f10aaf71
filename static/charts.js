// Charts of what an engine uses: one hour, three pictures, new figures as they come. A row is
// [epoch seconds, % of one core, bytes of memory, bytes received and sent a second]; null is a gap.
// Of a graphics card it is [epoch seconds, bytes of memory in use, % of use, °C].
(() => {
  "use strict";
  const HOUR = 3600;
  const GAP = 20; // seconds without a figure
  const HEIGHT = 168;
  const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
  const exactly = new Intl.DateTimeFormat([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });

  const percent = (value) => `${value.toFixed(value && value < 10 ? 1 : 0)} %`;
  // The one rounding rule of abm's sizes: abm/templatetags/show.py.
  const size = (value) => {
    let unit = "B";
    for (const larger of ["kB", "MB", "GB", "TB"]) {
      if (Math.abs(value) < 999.5) break;
      value /= 1000;
      unit = larger;
    }
    return `${value.toFixed(value >= 10 || unit === "B" ? 0 : 1)} ${unit}`;
  };
  const rate = (value) => `${size(value)}/s`;
  const gib = (value) => `${(value / 2 ** 30).toFixed(1).replace(/\.0$/, "")} GiB`;
  const degrees = (value) => `${value.toFixed(0)} °C`;
  const KINDS = {
    cpu: { columns: [1], labels: ["Processor"], write: percent, least: 10 },
    memory: { columns: [2], labels: ["Memory"], write: size, least: 1e6 },
    vram: { columns: [1], labels: ["Memory"], write: gib, least: 2 ** 30 },
    gpu: { columns: [2], labels: ["Use"], write: percent, least: 100 },
    heat: { columns: [3], labels: ["Temperature"], write: degrees, least: 100 },
    network: { columns: [3, 4], labels: ["Received", "Sent"], write: rate, least: 1e3 },
  };

  const colour = (place, name) => {
    const probe = place.querySelector(`.chart-${name}`);
    return getComputedStyle(probe).color;
  };

  // Rows as uPlot's columns, with an empty row wherever figures are missing for a while.
  const columnsOf = (rows, wanted, gap) => {
    const whole = [];
    rows.forEach((row, index) => {
      const before = rows[index - 1];
      if (before && row[0] - before[0] > gap) whole.push([before[0] + 1]);
      whole.push(row);
    });
    return [0, ...wanted].map((column) => whole.map((row) => row[column] ?? null));
  };

  const seriesOf = (place, kind) =>
    kind.labels.map((label, index) => ({
      label,
      stroke: () => colour(place, index ? "second" : "first"),
      fill: index ? undefined : () => colour(place, "fill"),
      dash: index ? [4, 3] : undefined,
      width: 1.5,
      points: { show: (u, s, from, to) => to - from < 3 },
      value: (u, value, series) => {
        const shown = u.cursor.idx == null ? u.data[series].findLast((one) => one != null) : value;
        return shown == null ? "—" : kind.write(shown);
      },
    }));

  const axisOf = (place, more) => ({
    stroke: () => colour(place, "words"),
    grid: { stroke: () => colour(place, "line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
    ...more,
  });

  const chartOf = (place, kind, rows, { gap, height }) => {
    for (const name of ["first", "second", "fill", "words", "line"]) {
      const probe = document.createElement("span");
      probe.className = `chart-${name}`;
      probe.hidden = true;
      place.append(probe);
    }
    const time = (u, value) =>
      exactly.format((u.cursor.idx == null ? u.scales.x.max : value) * 1000);
    const options = {
      width: place.clientWidth,
      height,
      padding: [8, 28, 0, 0],
      cursor: { sync: { key: "engine" }, drag: { x: false, y: false }, y: false },
      scales: {
        x: { range: () => [Date.now() / 1000 - HOUR, Date.now() / 1000] },
        y: { range: (u, from, to) => uPlot.rangeNum(0, Math.max(to || 0, kind.least), 0.1, true) },
      },
      series: [{ label: "Time", value: time }, ...seriesOf(place, kind)],
      axes: [
        axisOf(place, {
          size: 26,
          space: 70,
          values: (u, at) => at.map((one) => clock.format(one * 1000)),
        }),
        axisOf(place, { size: 66, space: 30, values: (u, at) => at.map(kind.write) }),
      ],
    };
    return new uPlot(options, columnsOf(rows, kind.columns, gap), place);
  };

  const parsed = (text) => (text ? JSON.parse(text) : null);

  const begin = (panel) => {
    let rows = parsed(panel.dataset.history) || [];
    const gap = Number(panel.dataset.gap) || GAP;
    const height = Number(panel.dataset.height) || HEIGHT;
    const charts = [...panel.querySelectorAll("[data-chart]")].map((place) => {
      const kind = KINDS[place.dataset.chart];
      const chart = chartOf(place, kind, rows, { gap, height });
      const fit = () => chart.setSize({ width: place.clientWidth, height });
      new ResizeObserver(fit).observe(place);
      return { chart, kind };
    });
    const draw = () => {
      const oldest = Date.now() / 1000 - HOUR - 60;
      rows = rows.filter(([at]) => at > oldest);
      for (const { chart, kind } of charts) chart.setData(columnsOf(rows, kind.columns, gap));
    };
    const take = () => {
      const row = parsed(panel.querySelector("[data-sample]").dataset.sample);
      if (!row || (rows.length && row[0] <= rows.at(-1)[0])) return;
      rows.push(row);
      draw();
    };
    new MutationObserver(take).observe(panel, {
      subtree: true,
      childList: true,
      attributeFilter: ["data-sample"],
    });
    const paint = () => charts.forEach(({ chart }) => chart.redraw(false));
    document.addEventListener("abm:theme", paint);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    // Time goes on, also when no figures come.
    setInterval(() => document.hidden || draw(), 10_000);
  };

  for (const panel of document.querySelectorAll("[data-charts]")) begin(panel);
})();

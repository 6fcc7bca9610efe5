// Puts plots that zoom and tell what is under the pointer in the place of the drawn ones; a click shows slices.
// Texts of files and people are never taken for markup: they are set as textContent.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('walk').textContent), {first} = data, count = data.verdicts.length;
  const ALL = [first - 0.5, first + count - 0.5];
  const FEWEST = Math.min(5, count), NEIGHBOURS = [-2, -1, 0, 1, 2];  // five pictures of 256 px share a row
  const HEIGHT = 212, MARGIN = 0.06, LINE = 1.4, PALE = 0.38, NARROWEST = 1.6, WIDEST_PAIR = 4;  // as the drawn plots
  const VERDICTS = {g: 'good', s: 'suspect', b: 'bad', m: 'missing'};
  // by kind: colour, and px below the plotted area, or above it, and height; one without a lane crosses the area
  const KINDS = {jump: ['--a'], break: ['--red'], unmatched: ['--red', -11, 9], outlier: ['--b', -11, 9],
                 suspect: ['--amber', 6.5, 4.5], missing: ['--missing', 2, 9], bad: ['--red', 2, 9]};
  const STEPS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap(power => [power, 2 * power, 5 * power]);  // whole slices
  const REST_MS = 150;  // between two steps of a hand
  const SHARED = ['mousemove', 'mouseleave'];  // what the pointer does on one plot that all show
  const HINT = 'Drag to zoom, double-click to see all, click to see a slice.', FONT = '11.5px system-ui';

  const bytes = packed => Uint8Array.from(atob(packed), c => c.charCodeAt(0));
  const unpack = (packed, type) => Array.from(new type(bytes(packed).buffer));
  const unpackZ = packed => unpack(packed, Float32Array).map(at => first + at);
  const unpackSamples = packed => {  // numbers of 32 bits without the lowest eight
    const upper = bytes(packed), all = new Uint8Array(upper.length / 3 * 4);
    upper.forEach((byte, i) => { all[i + Math.floor(i / 3) + 1] = byte; });
    return Array.from(new Float32Array(all.buffer), y => Number.isNaN(y) ? null : y);
  };
  const make = (tag, name, text = '', more = {}) =>
    Object.assign(document.createElement(tag), {className: name, textContent: text}, more);
  const colours = new Map(), root = getComputedStyle(document.documentElement);  // asking takes longer than drawing
  const colour = name => colours.get(name) ?? colours.set(name, root.getPropertyValue(name).trim()).get(name);
  const clamp = (v, low, high) => Math.max(low, Math.min(v, high));
  const number = y => String(Math.abs(y) < 1e4 ? Number(y.toPrecision(4)) : Math.round(y)).replace('-', '\u2212');
  const verdict = i => VERDICTS[data.verdicts[i]];

  const z = Array.from(data.verdicts, (_, i) => first + i), told = new Map();
  const marks = data.marks.map(m => ({...m, z: unpackZ(m.z), text: unpack(m.text, Uint16Array)}));
  // what is between two slices is told at the upper one, after the reason for its verdict
  for (const {kind, z, text} of [...marks].reverse()) z.map(Math.ceil).forEach((at, j) =>
    told.set(at, [...told.get(at) ?? [], data.texts[text[j]] || kind]));
  const charts = [];  // each {plot, lines, dots, u}: what is drawn, and by which uPlot
  let shown = ALL, chosen = null, frame = null, rest = null;
  const inside = at => at >= shown[0] && at <= shown[1];

  function show(low, high) {
    const width = clamp(high - low, FEWEST, count), start = clamp((low + high - width) / 2, ALL[0], ALL[1] - width);
    shown = [start, start + width];
    frame ??= requestAnimationFrame(drawShown);  // wheels turn faster than screens
  }

  // What is not on the screen can wait until a person rests.
  function drawShown() {
    const set = ({u}) => u.setScale('x', {min: shown[0], max: shown[1]});
    const isSeen = ({top, bottom}) => bottom > 0 && top < innerHeight, seen = new Set();
    for (const c of charts) if (isSeen(c.u.root.getBoundingClientRect())) seen.add(c);
    const unseen = charts.filter(c => !seen.has(c));
    clearTimeout(rest);
    frame = null;
    seen.forEach(set);
    rest = setTimeout(() => unseen.forEach(set), REST_MS);
  }

  function zoomToSelection(u) {
    const {left, width} = u.select;
    u.setSelect({left: 0, width: 0}, false);
    if (width) show(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'));
  }

  // The wheel alone scrolls the page. With Ctrl, as a pinch, it zooms at the pointer; sidewards it moves along z.
  function turn(u, event) {
    const [low, high] = shown, perPx = (high - low) / u.over.clientWidth, factor = Math.exp(event.deltaY / 300);
    const at = low + event.offsetX * perPx, aside = (event.deltaX || event.shiftKey && event.deltaY) * perPx;
    if (event.ctrlKey) show(at - (at - low) * factor, at + (high - at) * factor);
    else if (aside) show(low + aside, high + aside);
    else return;
    event.preventDefault();
  }

  const values = ({plot, lines, dots}, i) => [
    ...lines.map((line, k) => [plot.lines[k].name, line[i]]),
    ...dots.flatMap(d => d.y.filter((_, j) => d.z[j] === z[i]).map(y => [d.name, y])),
  ].filter(([, y]) => y != null).map(([name, y]) => `${name} ${number(y)} ${plot.unit}`.trim());

  function range({plot, dots}, low, high) {
    const all = [low, high, ...plot.include].filter(y => y != null);
    for (const d of dots) d.y.forEach((y, j) => { if (y != null && inside(d.z[j])) all.push(y); });
    if (!all.length) return [0, 1];
    const bottom = all.reduce((a, b) => Math.min(a, b)), top = all.reduce((a, b) => Math.max(a, b));
    const margin = MARGIN * (top - bottom || Math.max(Math.abs(top), 0.1));
    return [bottom - margin, top + margin];
  }

  // A crowded line is pale, with the median of each pixel in front: dense noise hides what it is about.
  const perPixel = u => (shown[1] - shown[0]) / u.bbox.width * devicePixelRatio;
  function drawMedian(u, k) {
    const per = perPixel(u), path = new Path2D();
    if (!k || per <= 1) return;
    let pen = 'moveTo';
    for (let at = shown[0]; at < shown[1]; at += per) {
      const here = u.data[k].slice(Math.ceil(at) - first, Math.ceil(at + per) - first).filter(y => y != null);
      const y = here.sort((a, b) => a - b)[here.length >> 1];
      if (here.length) path[pen](u.valToPos(at + per / 2, 'x', true), u.valToPos(y, 'y', true));
      pen = here.length ? 'lineTo' : 'moveTo';
    }
    Object.assign(u.ctx, {strokeStyle: u.series[k].stroke(), lineWidth: devicePixelRatio});
    u.ctx.stroke(path);
  }

  function drawOver({plot, dots, u}) {
    const {ctx, bbox} = u, px = devicePixelRatio, x = at => u.valToPos(at, 'x', true), end = bbox.top + bbox.height;
    const box = (at, top, width, height) => ctx.fillRect(x(at) - width / 2, top, width, height);
    ctx.save();
    for (const {name, y, z, style} of dots) {
      Object.assign(ctx, {fillStyle: colour(`--${style}`), globalAlpha: perPixel(u) > 1 ? PALE : 1});
      z.forEach((at, j) => inside(at) && y[j] != null && box(at, u.valToPos(y[j], 'y', true) - 2 * px, 4 * px, 4 * px));
    }
    ctx.globalAlpha = 1;
    for (const mark of marks.filter(m => plot.kinds.includes(m.kind))) {
      const [name, below, height] = KINDS[mark.kind], isSlice = below > 0;
      const width = clamp(x(1) - x(0), NARROWEST * px, isSlice ? Infinity : WIDEST_PAIR * px);
      ctx.fillStyle = colour(name);
      for (const at of mark.z.filter(inside)) {
        if (height) box(at, (isSlice ? end : bbox.top) + below * px, width, height * px);
        else for (let top = bbox.top; top < end; top += 6 * px) box(at, top, LINE * px, 3 * px);
      }
    }
    ctx.fillStyle = colour('--ink');
    if (chosen != null) box(z[chosen], bbox.top, px, bbox.height);
    ctx.restore();
  }

  function build(figure, plot) {
    if (!plot.lines.length) return;
    const svg = figure.querySelector('svg'), readout = make('p', 'readout', HINT);
    const box = make('div', 'chart', '', {role: 'img', tabIndex: 0, ariaLabel: svg.getAttribute('aria-label')});
    const lines = plot.lines.map(line => unpackSamples(line.y));
    const dots = plot.dots.map(d => ({...d, z: unpackZ(d.z), y: unpackSamples(d.y)}));
    const chart = {plot, lines, dots}, strokes = plot.lines.map(line => () => colour(`--${line.style}`));
    // no line shows a sample between gaps
    const lone = lines.map(y => z.flatMap((_, i) => y[i] != null && y[i - 1] == null && y[i + 1] == null ? [i] : []));
    const axis = {stroke: () => colour('--soft'), font: FONT, labelFont: FONT, labelSize: 18, ticks: {show: false}};
    svg.before(readout, box);
    const u = new uPlot({
      width: box.clientWidth, height: HEIGHT, padding: [14, 8, 0, 0], legend: {show: false},
      scales: {x: {time: false}, y: {range: (_, low, high) => range(chart, low, high)}},
      series: [{}, ...strokes.map((stroke, k) => ({
        stroke, width: LINE, points: {size: 4, fill: stroke, filter: (u, _, all) => all ? null : lone[k]},
      }))],
      axes: [{...axis, label: 'z (slice number)', gap: 14, size: 36, incrs: STEPS, grid: {show: false},
              values: (u, ticks) => ticks.map(String)},
             {...axis, label: plot.unit, size: 52, grid: {stroke: () => colour('--line'), width: 1}}],
      cursor: {
        y: false, drag: {setScale: false}, bind: {dblclick: () => () => show(...ALL)},
        sync: {key: 'z', scales: ['x', null], filters: {pub: type => SHARED.includes(type), sub: () => true}},
      },
      hooks: {
        init: [u => { charts.push(Object.assign(chart, {u})); }],
        setSelect: [zoomToSelection],
        setCursor: [({cursor: {idx}}) => { if (idx != null) readout.textContent =
          [`z ${z[idx]} ${verdict(idx)}`, ...told.get(z[idx]) ?? [], ...values(chart, idx)].join(' \u00b7 '); }],
        // of whole pixels: fractions take software five times as long to draw
        drawClear: [u => { for (const s of u.series) [s.alpha, s.width] = perPixel(u) > 1 ? [PALE, 1] : [1, LINE]; }],
        drawSeries: [drawMedian],
        draw: [() => drawOver(chart)],
      },
    }, [z, ...lines], box);
    svg.classList.add('drawn');  // paper has other colours and widths
    u.over.addEventListener('click', () => choose(u.cursor.idx));
    u.over.addEventListener('wheel', event => turn(u, event), {passive: false});
    new ResizeObserver(() => u.setSize({width: box.clientWidth, height: HEIGHT})).observe(box);
  }

  // A slice with its neighbours, at the bottom of the window.
  const panel = document.body.appendChild(make('aside', 'walk', '', {hidden: true}));
  const redraw = () => charts.forEach(({u}) => u.redraw(false));

  function choose(i) {
    chosen = i == null ? null : clamp(i, 0, count - 1);
    panel.hidden = chosen == null;
    const used = panel.contains(document.activeElement) ? document.activeElement.title : '';
    if (chosen != null) {
      const half = (shown[1] - shown[0]) / 2, at = z[chosen];
      if (!inside(at)) show(at - half, at + half);
      panel.replaceChildren(heading(chosen), facts(chosen), make('ol', ''));
      panel.lastChild.append(...NEIGHBOURS.map(n => neighbour(chosen + n)));
      // whoever goes on by Enter keeps the button
      if (used) panel.querySelector(`[title="${used}"]`).focus();
    }
    history.replaceState(null, '', chosen == null ? '#' : `#slice=${z[chosen]}`);
    redraw();
  }

  function heading(i) {
    const header = make('header', ''), file = data.files?.middles[i];
    const button = (text, title, to) => make('button', '', text, {title, onclick: () => choose(to)});
    header.append(
      make('b', '', `z ${z[i]}`), make('span', `verdict ${verdict(i)}`, verdict(i)),
      make('span', 'note', file == null ? '' : data.files.begin + file + data.files.end), place(z[i]),
      button('\u2039', 'Slice below', i - 1), button('\u203a', 'Slice above', i + 1), button('\u00d7', 'Close'));
    return header;
  }

  // The volume at this slice: by `clio-argo view` if that serves the page, by a public link, or the command to type.
  function place(at) {
    const isServed = new URLSearchParams(location.search).has('view'), href = isServed ? `../../?z=${at}` : moved(at);
    if (href) return make('a', '', 'Open in neuroglancer', {href, rel: 'noreferrer'});
    return make('code', '', data.command && `${data.command} --z ${at}`);
  }

  function moved(at) {
    try {
      const [page, text] = data.link.split('#!'), state = JSON.parse(decodeURIComponent(text));
      state.position[2] = at + 0.5;  // the middle of the slice
      return `${page}#!${encodeURIComponent(JSON.stringify(state))}`;
    } catch {
      return data.link;
    }
  }

  const facts = i => make('p', 'note', [
    ...told.get(z[i]) ?? [],
    ...charts.flatMap(c => values(c, i).length ? `${c.plot.title}: ${values(c, i).join(', ')}` : []),
  ].join(' \u00b7 '));

  function neighbour(i) {
    const item = make('li', ''), [name, caption] = picture(i), none = make('p', 'none', 'No picture.');
    if (z[i] == null) return item;
    const box = i === chosen ? make('a', 'chosen') : make('button', '', '', {onclick: () => choose(i)});
    if (i === chosen && name) box.href = name;
    const image = make('img', '', '', {alt: `slice ${z[i]}`, onerror: () => image.replaceWith(none)});
    if (name) image.src = name;
    box.append(name ? image : none, make('b', '', `z ${z[i]} `), make('span', `verdict ${verdict(i)}`, caption));
    item.append(box);
    return item;
  }

  // Of a bad slice its file, of others the plane of the volume, if there is one.
  function picture(i) {
    const recorded = data.pictures[z[i]], kind = verdict(i);
    const sign = z[i] < 0 ? '-' : '', digits = String(Math.abs(z[i]));
    const plane = data.thumbnail?.replace(/\d+/, all => sign + digits.padStart(all.length - sign.length, '0'));
    if (recorded && (kind === 'bad' || !plane)) return [recorded, `${kind}, as recorded`];
    return [plane, {good: '', suspect: kind}[kind] ?? `${kind}; what is in its place`];
  }

  document.querySelectorAll('figure.plot').forEach((figure, i) => build(figure, data.charts[i]));
  show(...ALL);
  document.addEventListener('keydown', event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], middle = Math.round((shown[0] + shown[1]) / 2) - first;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (chosen == null && event.key === 'Enter' && event.target.matches('.chart')) choose(middle);
    else if (chosen != null && event.key === 'Escape') choose();
    else if (chosen != null && step) choose(chosen + step);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    colours.clear();
    redraw();
  });
  const chooseAsked = () => {
    const asked = /^#slice=(-?\d+)$/.exec(location.hash);
    if (asked) choose(asked[1] - first);
  };
  addEventListener('hashchange', chooseAsked);
  chooseAsked();
})();

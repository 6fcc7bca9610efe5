"""The report's looks: one sheet for light and dark, nothing fetched."""

CSS = """
:root{color-scheme:light dark;--page:#f6f7f9;--panel:#fff;--ink:#1b2430;--soft:#566170;--line:#dde2e9;
--a:#0a66c2;--b:#b4530a;--green:#18713a;--amber:#8a5a00;--red:#b3261e;--missing:#6b3fa0;
--green-bg:#e6f4ea;--amber-bg:#fdf3d8;--red-bg:#fdeceb}
@media (prefers-color-scheme:dark){:root{--page:#12161b;--panel:#1a2027;--ink:#e4e9f0;--soft:#9ba7b6;
--line:#303944;--a:#6cb4ff;--b:#f2a65e;--green:#5fd08b;--amber:#ecbd4c;--red:#ff8a80;--missing:#c3a1f5;
--green-bg:#16301f;--amber-bg:#352a10;--red-bg:#3a1b1a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1180px;margin:0 auto;padding:28px 24px 64px}
h1,h2,h3,p,dl,ul,figure{margin:0}
h1{font-size:28px;line-height:1.2;overflow-wrap:anywhere;font-weight:650}
h2{font-size:19px;font-weight:650;margin-bottom:12px}
h3{font-size:15px;font-weight:600;margin:0 0 6px}
p+p{margin-top:6px}
a{color:var(--a)}
code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere}
section{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin-top:18px}
section h3:not(:first-child){margin-top:18px}
.kind{color:var(--soft);font-size:13px}
.note,figcaption{color:var(--soft);font-size:13.5px}
.status{display:inline-block;margin:14px 0 10px;padding:9px 14px;border-radius:8px;border-left:5px solid;
max-width:100%;overflow-wrap:anywhere}
.status strong{margin-right:8px}
.status a{color:inherit}
.status ul{padding-left:18px;margin:4px 0}
.green{color:var(--green);background:var(--green-bg)}
.amber{color:var(--amber);background:var(--amber-bg)}
.red{color:var(--red);background:var(--red-bg)}
.open a{font-weight:600}
.address{display:block;padding:8px 0}
.figures{list-style:none;display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:1px;
padding:0;margin-top:16px;background:var(--line);border:1px solid var(--line);border-radius:10px;overflow:hidden}
.figures li{background:var(--panel);padding:11px 14px;display:flex;flex-direction:column}
.figures b{font-size:17px;font-weight:600}
.figures span{color:var(--soft);font-size:12.5px}
figure+figure{margin-top:22px}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:14px}
.sides img{display:block;width:100%;max-height:640px;object-fit:contain;object-position:top left}
.sides .when{color:var(--soft);font-size:13px;margin-bottom:3px}
.none{color:var(--soft);border:1px dashed var(--line);padding:18px;text-align:center}
figcaption{margin-top:6px}
.plot figcaption{display:flex;flex-wrap:wrap;gap:2px 28px}
svg{display:block;width:100%;height:auto}
svg text{font-size:11.5px;fill:var(--soft)}
.frame path{stroke:var(--line);fill:none}
.line,.dots,.range{fill:none;stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round}
.dots{stroke-width:4;opacity:.6}
.range{stroke-width:1;opacity:.38}
path.a{stroke:var(--a)}
path.b{stroke:var(--b)}
circle.a{fill:var(--a)}
circle.b{fill:var(--b)}
rect.good{fill:var(--green);opacity:.32}
rect.low,rect.break{fill:var(--b)}
rect.break{fill:var(--red)}
rect.jump{fill:var(--a)}
path.jump{stroke:var(--a);stroke-width:1.2;stroke-dasharray:2 3;fill:none}
path.break{stroke:var(--red);stroke-width:2;stroke-dasharray:5 3;fill:none}
rect.link{fill:var(--red)}
rect.bad{fill:var(--red)}
rect.missing{fill:var(--missing)}
rect.suspect{fill:var(--amber)}
.legend{display:inline-flex;flex-wrap:wrap;gap:2px 18px;font-size:13.5px}
.plot{padding-top:6px}
p.legend{margin-bottom:6px;color:var(--soft)}
.legend>span{white-space:nowrap}
.key{display:inline-block;width:14px;height:9px;margin-right:6px;vertical-align:1px}
.key.a{background:var(--a);height:3px;vertical-align:4px}
.key.b{background:var(--b);height:3px;vertical-align:4px}
.key.bad{background:var(--red)}
.key.missing{background:var(--missing)}
.key.suspect{background:var(--amber);height:5px;vertical-align:1px}
.key.link{background:var(--red);width:4px;height:11px;vertical-align:-1px}
.key.low{background:var(--b);width:4px;height:11px;vertical-align:-1px}
.key.jump{background:var(--a);width:4px;height:13px;vertical-align:-2px}
.cards{list-style:none;display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:14px;padding:0;
margin:14px 0}
.cards li{border:1px solid var(--line);border-top:5px solid var(--line);border-radius:8px;padding:8px 10px;
overflow-wrap:anywhere}
.cards li.bad{border-top-color:var(--red)}
.cards li.missing{border-top-color:var(--missing)}
.cards li.suspect{border-top-color:var(--amber)}
.cards li:target{outline:3px solid var(--a)}
.cards img{display:block;width:100%;aspect-ratio:1;object-fit:cover;border-radius:4px;margin-bottom:6px}
.cards .none{aspect-ratio:1;display:flex;align-items:center;justify-content:center;margin-bottom:6px}
.verdict{font-weight:600;font-size:13px}
.verdict.bad{color:var(--red)}
.verdict.missing{color:var(--missing)}
.verdict.suspect{color:var(--amber)}
.key.dots{width:7px;height:7px;border-radius:50%;opacity:.6;vertical-align:1px}
.key.break{width:0;height:13px;border-left:2px dashed var(--red);vertical-align:-2px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:5px 18px 5px 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;font-size:13px;white-space:nowrap}
td{overflow-wrap:break-word}
tr:last-child td{border-bottom:0}
.scroll+.note{margin-top:8px}
.scroll+.scroll{margin-top:16px}
p+.scroll,p+details,.scroll+details,details+details,dl+.note,dl+.scroll,.note+details{margin-top:10px}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 20px}
dl+p{margin-top:12px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--a);width:max-content;max-width:100%}
details .scroll{margin-top:8px}
@media (max-width:700px){.sides{grid-template-columns:1fr}.cards{grid-template-columns:1fr 1fr}
.plot{overflow-x:auto}.plot svg{min-width:720px}main{padding:16px 10px}section{padding:14px}}
@media print{body{background:#fff}section{break-inside:avoid-page}}
""" + "\n".join(
    # numbers line up by their last digit
    f".n{i} td:nth-child({i + 1}),.n{i} th:nth-child({i + 1}){{text-align:right;white-space:nowrap}}"
    for i in range(7)
)

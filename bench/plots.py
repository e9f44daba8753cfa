# Draws the ratios of one results file as SVG: plots.py FILE PREFIX writes PREFIX-cpu-SIZE.svg, one a size. Bars are medians,
# the thin lines reach from the least to the largest round. A bar that would be higher than RATIO_MAX is cut off there and
# bears its number. It needs nothing but Python.
import json
import statistics
import sys

from report import NAMES, ratios, size_name

COLOURS = {"raw_echo": "#9aa5b1", "raw_epoll": "#c9d1d9", "echo_core": "#1f77b4", "echo_core_epoll": "#7fb3d9",
           "ringway": "#d95f02", "lws_echo": "#8c6bb1", "beast_echo": "#c994c7", "picows": "#e7c7e0"}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1200, 420, 60, 84, 56
RATIO_MAX = 3.0


def text(x, y, words, anchor="middle", size=13):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-family="sans-serif" fill="#222">{words}</text>')


def draw(size, found):
    """found: {(connections, depth): {server: ratios}}."""
    servers = [name for name in COLOURS if any(name in cell for cell in found.values())]
    top = min(RATIO_MAX, max(1.5, *(statistics.median(rounds) for cell in found.values() for rounds in cell.values())) * 1.1)
    plot_height = HEIGHT - TOP - BOTTOM

    def y(ratio):
        return TOP + plot_height * (1 - min(ratio, top) / top)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 26, f"Echo of {size_name(size)}: server CPU a message, as a ratio to the better raw TCP echo "
                          "(lower is better)", "start", 16)]
    for number, name in enumerate(servers):
        x = LEFT + number * min(172, (WIDTH - LEFT) // len(servers))
        out.append(f'<rect x="{x}" y="44" width="14" height="14" fill="{COLOURS[name]}"/>')
        out.append(text(x + 18, 56, NAMES[name], "start", 13 if len(servers) < 6 else 11))
    for step in range(int(top / 0.5) + 1):
        line = y(step * 0.5)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{line:.1f}" y2="{line:.1f}" '
                   f'stroke="{"#555" if step == 2 else "#ddd"}"/>')
        out.append(text(LEFT - 8, line + 4, f"{step * 0.5:.1f}", "end"))
    group = (WIDTH - 16 - LEFT) / len(found)
    bar = group * 0.8 / len(servers)
    for place, ((connections, depth), cell) in enumerate(sorted(found.items())):
        start = LEFT + group * (place + 0.1)
        out.append(text(start + group * 0.4, HEIGHT - BOTTOM + 20, f"{connections:,} conn."))
        out.append(text(start + group * 0.4, HEIGHT - BOTTOM + 38, f"{depth} in flight"))
        for number, name in enumerate(servers):
            if name in cell:
                x, median = start + number * bar, statistics.median(cell[name])
                out.append(f'<rect x="{x:.1f}" y="{y(median):.1f}" width="{bar * 0.9:.1f}" '
                           f'height="{y(0) - y(median):.1f}" fill="{COLOURS[name]}"/>')
                out.append(f'<line x1="{x + bar * 0.45:.1f}" x2="{x + bar * 0.45:.1f}" y1="{y(min(cell[name])):.1f}" '
                           f'y2="{y(max(cell[name])):.1f}" stroke="#222"/>')
                if median > top:
                    out.append(text(x + bar * 0.45, y(top) - 5, f"{median:.0f}", size=10))
    return "\n".join([*out, "</svg>"]) + "\n"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [line for line in map(json.loads, file) if line["scenario"] == "echo"]
    sizes = {}
    for (size, connections, depth), server, found, _ in ratios(lines):
        sizes.setdefault(size, {}).setdefault((connections, depth), {})[server] = found
    for size, found in sorted(sizes.items()):
        path = f"{sys.argv[2]}-cpu-{size}.svg"
        with open(path, "w", encoding="utf-8") as file:
            file.write(draw(size, found))
        print(path)


if __name__ == "__main__":
    main()

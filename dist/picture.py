#!/usr/bin/env python3
"""Draws `rpull demo` as it looks in a terminal: dist/picture.py RPULL > docs/pull.svg

tmux is the terminal. The picture plays the run at its own speed and then starts again; where motion is not wanted, it shows the
last screen.
"""

import html
import os
import subprocess
import sys
import tempfile
import time

COLUMNS, ROWS = 104, 28
CHARACTER, LINE, MARGIN = 8, 18, 14
LAST_FRAME = 6.0
TIMEOUT = 60


def tmux(*words: str) -> str:
    command = ["tmux", "-L", f"picture-{os.getpid()}", "-f", "/dev/null", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def record(program: str) -> list[tuple[float, list[str]]]:
    """Runs the demo; returns each screen with the second of its first sight."""
    frames = []
    with tempfile.TemporaryDirectory() as home:
        run = f"env -i HOME={home} TERM=screen-256color LANG=C.UTF-8 {program} demo; echo; sleep {TIMEOUT}"
        tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), run)
        try:
            start = last_change = time.monotonic()
            while time.monotonic() - last_change < 2 and time.monotonic() - start < TIMEOUT:
                screen = [line.rstrip() for line in tmux("capture-pane", "-p").splitlines()]
                if any(screen) and (not frames or frames[-1][1] != screen):
                    last_change = time.monotonic()
                    frames.append((last_change - start, screen))
                time.sleep(0.1)
        finally:
            tmux("kill-server")
    return frames


def text(line: str, y: int) -> str:
    kind = " class='c'" if line.startswith("#") else " class='p'" if line.startswith("$") else ""
    return f"<text{kind} x='{MARGIN}' y='{y}'>{html.escape(line, quote=False)}</text>"


def draw(frames: list[tuple[float, list[str]]]) -> str:
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, ROWS * LINE + 2 * MARGIN
    begin, end = frames[0][0], frames[-1][0] + LAST_FRAME
    steps, screens = [], []
    for number, (second, screen) in enumerate(frames):
        steps.append(f"{100 * (second - begin) / (end - begin):.2f}%{{transform:translateY(-{number * height}px)}}")
        lines = [text(line, (row + 1) * LINE + MARGIN - 4) for row, line in enumerate(screen) if line]
        screens.append(f"<g transform='translate(0 {number * height})'>{''.join(lines)}</g>")
    last = (len(frames) - 1) * height
    style = (
        f"text{{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d8dee9;white-space:pre}}"
        f".c{{fill:#8fbcbb}}.p{{fill:#a3be8c}}"
        f"#play{{animation:play {end - begin:.1f}s step-end infinite}}@keyframes play{{{''.join(steps)}}}"
        f"@media (prefers-reduced-motion:reduce){{#play{{animation:none;transform:translateY(-{last}px)}}}}"
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' role='img'>\n"
        f"<title>rpull demo: a pull of one version, the plan and the pull of the next, which shares most layers</title>\n"
        f"<style>{style}</style>\n<rect width='100%' height='100%' rx='8' fill='#1f2430'/>\n"
        f"<g id='play'>\n{chr(10).join(screens)}\n</g>\n</svg>"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(draw(record(os.path.abspath(sys.argv[1]))))

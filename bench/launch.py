"""Runs one command and reports what it cost: `python3 -I -S launch.py FD PROGRAM ARGUMENT…`.

A process of its own, importing next to nothing, because Linux counts the memory of the process that
forks into the child's ru_maxrss: measured from the benchmark itself, `true` would "use" 19 MiB.
"""

import posix
import sys
import time


def main() -> None:
    fd, command = int(sys.argv[1]), sys.argv[2:]
    warm_up_fork()
    start = time.perf_counter()
    pid = posix.fork()
    if pid == 0:
        try:
            posix.execv(command[0], command)
        finally:
            posix._exit(127)
    _, status, usage = posix.wait4(pid, 0)
    wall = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    code = posix.waitstatus_to_exitcode(status)
    posix.write(fd, f"{wall} {cpu} {usage.ru_maxrss} {code}".encode())


def warm_up_fork() -> None:
    """The first fork of a process takes a millisecond more than later ones."""
    pid = posix.fork()
    if pid == 0:
        posix._exit(0)
    posix.waitpid(pid, 0)


main()
